package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
)

// The limits of test events.
const (
	// testsPerMinute is how many may be sent to one webhook in any minute.
	testsPerMinute = 10

	// maxTests is how many may be in flight, to all webhooks. They take no
	// worker of the dispatcher, so that a backlog does not delay them.
	maxTests = 64

	// maxProjectTests is how many of them may be those of one project: its
	// receivers may be slow on purpose.
	maxProjectTests = 16

	// testPatience is how long those in flight may go on when their webhook is
	// deleted.
	testPatience = time.Second
)

// testSends limits the test events that are sent, and knows those in flight. It
// outlives generations. The zero value is ready.
type testSends struct {
	mu       sync.Mutex
	stopped  bool
	inFlight map[*testSend]bool
	recent   map[string]*recentTests // by webhook
	sweepAt  int                     // size of recent at which old entries are removed
}

// testSend is a test event in flight.
type testSend struct {
	webhookID string
	projectID string          // of the webhook
	ctx       context.Context // ends when the attempt is cut short
	cut       context.CancelCauseFunc
	ended     chan struct{}
}

var errTestCut = errors.New("the gateway is stopping, or the webhook was deleted")

// recentTests holds when the last test events of a webhook were sent. Its times
// are monotonic: a clock that is set has no say.
type recentTests struct {
	at   [testsPerMinute]time.Time
	next int // index of the oldest
}

func (r *recentTests) newest() time.Time {
	return r.at[(r.next+testsPerMinute-1)%testsPerMinute]
}

// begin admits a test event; end must follow. The error is a problem.
func (ts *testSends) begin(webhookID, projectID string) (*testSend, error) {
	now := time.Now()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case ts.stopped:
		return nil, stopping()
	case len(ts.inFlight) >= maxTests || ts.of(projectID) >= maxProjectTests:
		return nil, problem.Later(problem.TooManyRequests, "Too many test events are under way. Send the request again.", time.Second)
	}
	r := ts.recently(webhookID, now)
	oldest := r.at[r.next]
	if wait := oldest.Add(time.Minute).Sub(now); wait > 0 && !oldest.IsZero() {
		return nil, problem.Later(problem.TooManyRequests, fmt.Sprintf("A webhook gets at most %d test events a minute.", testsPerMinute), wait)
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % testsPerMinute

	s := &testSend{webhookID: webhookID, projectID: projectID, ended: make(chan struct{})}
	s.ctx, s.cut = context.WithCancelCause(context.Background())
	if ts.inFlight == nil {
		ts.inFlight = make(map[*testSend]bool)
	}
	ts.inFlight[s] = true
	return s, nil
}

func (ts *testSends) end(s *testSend) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.inFlight, s)
	s.cut(nil)
	close(s.ended)
}

// of counts those in flight of a project. The caller holds mu.
func (ts *testSends) of(projectID string) int {
	n := 0
	for s := range ts.inFlight {
		if s.projectID == projectID {
			n++
		}
	}
	return n
}

// recently returns the memory of a webhook. Those without a test in the last minute
// are forgotten whenever there are twice as many as after the last time.
func (ts *testSends) recently(webhookID string, now time.Time) *recentTests {
	if r := ts.recent[webhookID]; r != nil {
		return r
	}
	if ts.recent == nil {
		ts.recent = make(map[string]*recentTests)
	}
	if len(ts.recent) >= max(ts.sweepAt, 256) {
		for id, r := range ts.recent {
			if now.Sub(r.newest()) >= time.Minute {
				delete(ts.recent, id)
			}
		}
		ts.sweepAt = 2 * len(ts.recent)
	}
	r := &recentTests{}
	ts.recent[webhookID] = r
	return r
}

// stop refuses further test events and waits for those in flight. When ctx ends
// first they are cut short.
func (ts *testSends) stop(ctx context.Context) {
	ts.mu.Lock()
	ts.stopped = true
	ts.mu.Unlock()
	ts.await(ctx, func(*testSend) bool { return true })
}

// forget waits for the test events to a webhook that was deleted, and cuts them
// short when they take long. None begins that has not begun.
func (ts *testSends) forget(webhookID string) {
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	ts.await(ctx, func(s *testSend) bool { return s.webhookID == webhookID })
}

// await waits for the end of some of those in flight.
func (ts *testSends) await(ctx context.Context, which func(*testSend) bool) {
	var some []*testSend
	ts.mu.Lock()
	for s := range ts.inFlight {
		if which(s) {
			some = append(some, s)
		}
	}
	ts.mu.Unlock()
	for _, s := range some {
		select {
		case <-s.ended:
			continue
		case <-ctx.Done():
		}
		s.cut(errTestCut)
	}
	for _, s := range some {
		<-s.ended
	}
}
