package dispatch

import (
	"time"

	"go.uber.org/zap"
)

// clockCheck is how often the wall clock is read again while a lane waits for
// a time, so that a jump is noticed.
const clockCheck = time.Second

// notice is what the store calls when a delivery can be claimed from due on.
func (d *Dispatcher) notice(webhookID string, due time.Time) {
	defer d.guard("a notice of the store") // whose goroutine this is
	if d.closed.Load() {
		return
	}
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lane(webhookID)
	l.told(due)
	d.arrange(l, now)
	d.staff()
}

// lane returns the lane of a webhook, a new one if need be.
func (d *Dispatcher) lane(webhookID string) *lane {
	l := d.lanes[webhookID]
	if l == nil {
		l = &lane{webhookID: webhookID, look: true}
		l.attempts = d.attemptContext()
		d.lanes[webhookID] = l
	}
	return l
}

// arrange puts l where it belongs: into the ring, into the alarm, or nowhere.
// Call it after any change to a lane. A lane without work is forgotten.
func (d *Dispatcher) arrange(l *lane, now time.Time) {
	if l.place == waiting || l.place == turning {
		return // its turn will see the change
	}
	at, ok := l.next(now)
	if !ok && !l.pending() && l.inflight == 0 {
		// Nothing to do. What it knows of its rate has to last, though.
		if at = l.unlimited(now); !at.After(now) {
			d.forget(l)
			return
		}
		ok = true
	}
	switch {
	case !ok && l.place == sleeping:
		d.alarm.remove(l)
	case !ok:
	case at.After(now):
		d.alarm.set(l, at)
		if d.ringsAt.IsZero() || at.Before(d.ringsAt) {
			d.rearm()
		}
	default:
		if l.place == sleeping {
			d.alarm.remove(l)
		}
		l.place = waiting
		d.ring.push(l)
	}
}

// join makes l a lane of the given project.
func (d *Dispatcher) join(l *lane, projectID string) {
	d.quit(l)
	p := d.projects[projectID]
	if p == nil {
		p = &project{id: projectID}
		d.projects[projectID] = p
	}
	p.members++
	p.inflight += l.inflight
	l.project = p
}

func (d *Dispatcher) quit(l *lane) {
	if p := l.project; p != nil {
		p.members--
		p.inflight -= l.inflight
		if p.members == 0 {
			delete(d.projects, p.id)
		}
	}
	l.project = nil
}

func (d *Dispatcher) forget(l *lane) {
	if l.place == sleeping {
		d.alarm.remove(l)
	}
	d.quit(l)
	d.spare.put(l.attempts)
	delete(d.lanes, l.webhookID)
}

// rearm makes the timekeeper look at the alarm again.
func (d *Dispatcher) rearm() {
	select {
	case d.rearmed <- struct{}{}:
	default: // it has been told
	}
}

// keepTime gives lanes their turn when their time has come. It sleeps until
// then, and without end while no lane waits for a time.
func (d *Dispatcher) keepTime() {
	defer d.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !d.closed.Load() {
		if wait, ok := d.ripen(); ok {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-d.rearmed:
		}
	}
}

// ripen moves lanes whose time has come to the ring. It returns how long to
// sleep now, or false if no lane waits for a time.
func (d *Dispatcher) ripen() (wait time.Duration, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("timekeeper panicked", zap.Any("panic", p), zap.Stack("stack"))
			wait, ok = clockCheck, true
		}
	}()
	now := d.clock.now()
	d.ages.Cutoff(d.maxAge) // it learns by being asked
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ringsAt = time.Time{}
	for {
		l := d.alarm.first()
		if l == nil {
			return 0, false
		}
		if l.wakeAt.After(now) {
			wait = min(l.wakeAt.Sub(now), clockCheck)
			d.ringsAt = now.Add(wait)
			return wait, true
		}
		d.alarm.remove(l)
		d.arrange(l, now)
		d.staff()
	}
}
