package dispatch

import (
	"fmt"
	"time"
)

// Remembered returns how many lanes and projects the Dispatcher knows.
func (d *Dispatcher) Remembered() (lanes, projects int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lanes), len(d.projects)
}

// LeftAside returns the projects that have lanes aside although none of theirs
// holds a worker or waits for one.
func (d *Dispatcher) LeftAside() (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.projects {
		if p.aside.len() > 0 && p.inflight == 0 && p.waiting.len() == 0 {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// Unwoken returns the lanes that nothing will wake although there is, or will be,
// something to do, and the counts that do not add up. Every goroutine of the
// Dispatcher must be blocked; claiming are in a Claim.
func (d *Dispatcher) Unwoken(claiming int) (faults []string) {
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	inRing, aside := map[*lane]int{}, map[*lane]int{}
	count := func(q fifo[*lane], into map[*lane]int) {
		for i := range q.n {
			into[q.buf[(q.head+i)&(len(q.buf)-1)]]++
		}
	}
	count(d.ring.unassigned, inRing)
	for q := d.ring.projects; q.len() > 0; { // a copy
		count(q.buf[q.head].waiting, inRing)
		q.head, q.n = (q.head+1)&(len(q.buf)-1), q.n-1
	}
	for q := d.ring.aside; q.len() > 0; {
		count(q.buf[q.head].aside, aside)
		q.head, q.n = (q.head+1)&(len(q.buf)-1), q.n-1
	}
	held, ofProject := 0, map[*project]int{}
	for id, l := range d.lanes {
		held += l.inflight
		ofProject[l.project] += l.inflight
		fault := func(format string, args ...any) {
			faults = append(faults, id+" "+fmt.Sprintf(format, args...))
		}
		if n := inRing[l] + aside[l]; n > 1 || (n == 1) != (l.place == waiting) {
			fault("waits %d times, at place %d", n, l.place)
		}
		at, ok := l.next(now)
		switch l.place {
		case turning:
			claiming--
		case waiting:
			if inRing[l] > 0 && d.busy < d.workers {
				fault("waits for a turn beside idle workers")
			}
			if aside[l] > 0 && l.project.inflight == 0 && l.project.waiting.len() == 0 {
				fault("is aside, and nothing will bring it back")
			}
		case sleeping:
			if d.alarm.lanes[l.index] != l {
				fault("is not in the alarm")
			}
			if ok && at.Before(l.wakeAt.Add(-time.Millisecond)) {
				fault("oversleeps by %v", l.wakeAt.Sub(at))
			}
			if d.ringsAt.IsZero() || d.ringsAt.After(latest(l.wakeAt, now.Add(clockCheck))) {
				fault("sleeps until %v, the timekeeper until %v", l.wakeAt, d.ringsAt)
			}
		case idle:
			if ok || l.inflight == 0 {
				fault("has work at %v, %d in flight, and waits for nothing", at, l.inflight)
			}
		}
	}
	if claiming != 0 {
		faults = append(faults, fmt.Sprintf("%d claims more than turns", claiming))
	}
	for _, p := range d.projects {
		if p.inflight != ofProject[p] {
			faults = append(faults, fmt.Sprintf("%s counts %d in flight, its lanes %d", p.id, p.inflight, ofProject[p]))
		}
	}
	if len(inRing) != d.ring.waiting || d.seeking != 0 || d.busy != held-d.byHand.all {
		faults = append(faults, fmt.Sprintf("%d wait of %d, %d seek, %d busy for %d in flight, %d by hand",
			d.ring.waiting, len(inRing), d.seeking, d.busy, held, d.byHand.all))
	}
	return faults
}

// Knows reports whether the Dispatcher knows when a webhook's next delivery is due,
// if one is, and of claims that were not ended, if more are out than are in flight.
func (d *Dispatcher) Knows(webhookID string, due time.Time, claims int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[webhookID]
	switch {
	case l == nil:
		return due.IsZero() && claims == 0
	case l.place == turning:
		return true // it is just being told
	}
	return (due.IsZero() || !l.due.IsZero() && !l.due.After(due)) && (claims <= l.inflight || !l.lapse.IsZero())
}
