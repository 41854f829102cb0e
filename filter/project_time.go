package filter

import (
	"sync"
	"time"
)

// ProjectTimes bounds the time that the filters of each project take over many
// events, so that one with many expensive filters does not slow the others
// down. The zero value is ready; it is safe for concurrent use.
type ProjectTimes struct {
	mu        sync.Mutex
	byProject map[string]*projectTime
}

// sweepTimes is from how many projects on those that have all their time are
// forgotten.
const sweepTimes = 10_000

// of returns what a project has left.
func (p *ProjectTimes) of(projectID string) *projectTime {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.byProject[projectID]; t != nil {
		return t
	}
	if p.byProject == nil {
		p.byProject = make(map[string]*projectTime)
	}
	now := time.Now()
	if n := len(p.byProject); n >= sweepTimes && n%sweepTimes == 0 {
		for id, t := range p.byProject {
			if t.whole(now) {
				delete(p.byProject, id)
			}
		}
	}
	t := &projectTime{rest: MaxProjectTime, at: now}
	p.byProject[projectID] = t
	return t
}

// projectTime is a bucket of time. Evaluations that began before it was empty
// are counted all the same: it can be below zero.
type projectTime struct {
	mu   sync.Mutex
	rest time.Duration
	at   time.Time // when rest was right
}

// left says whether there is time.
func (t *projectTime) left(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fill(now)
	return t.rest > 0
}

// spend takes time out.
func (t *projectTime) spend(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest -= took
}

// whole says whether nothing is missing.
func (t *projectTime) whole(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fill(now)
	return t.rest >= MaxProjectTime
}

func (t *projectTime) fill(now time.Time) {
	passed := now.Sub(t.at)
	if passed <= 0 {
		return
	}
	t.at = now
	t.rest = min(t.rest+time.Duration(ProjectTimeShare*float64(passed)), MaxProjectTime)
}
