package dispatch

import (
	"context"
	"errors"
	"time"
)

// errForgotten is why the attempts of a webhook that was deleted are cut short.
var errForgotten = errors.New("the webhook was deleted")

// forgetGrace is how long the attempts of a webhook that was deleted may take to
// end by themselves.
const forgetGrace = time.Second

// Forget is Refresh for a webhook that was deleted: call it when Receivers no
// longer knows it. When Forget returns, no attempt of the webhook is under way
// and none begins, not even one that was claimed before. Attempts in flight have
// forgetGrace to end, or until ctx ends; then they are cut short. What is
// pending ends as Cancelled afterwards.
func (d *Dispatcher) Forget(ctx context.Context, webhookID string) {
	d.Refresh(webhookID)
	l, quiet := d.hush(webhookID)
	if l == nil {
		return
	}
	grace := time.NewTimer(forgetGrace)
	defer grace.Stop()
	select {
	case <-quiet:
		return
	case <-grace.C:
	case <-ctx.Done():
	}
	d.cut(l)
	<-quiet
}

// hush returns the lane of a webhook, if it has attempts that have begun, and
// what is closed when they have ended.
//
// An attempt counts itself in lane.sending before it asks for its receiver. So
// either it is counted here, or it finds that the webhook is gone.
func (d *Dispatcher) hush(webhookID string) (*lane, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[webhookID]
	if l == nil {
		return nil, nil
	}
	if l.quiet == nil {
		l.quiet = make(chan struct{})
		l.forgetting.Store(true)
	}
	quiet := l.quiet
	if l.sending.Load() == 0 {
		l.hushed()
	}
	return l, quiet
}

// cut ends the attempts in flight. Those that come later are not affected: the
// webhook may come back.
func (d *Dispatcher) cut(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.quiet == nil {
		return // they have ended, and the leash may be another lane's by now
	}
	l.leash.cut(errForgotten)
	l.leash = d.leash()
}

// begin counts an attempt that begins.
func (d *Dispatcher) begin(j *job) {
	j.sending = true
	j.lane.sending.Add(1)
}

// end notes that the request of an attempt has ended, or was not made. Ending it
// twice does nothing.
func (d *Dispatcher) end(j *job) {
	if !j.sending {
		return
	}
	j.sending = false
	l := j.lane
	if l.sending.Add(-1) != 0 || !l.forgetting.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.quiet != nil && l.sending.Load() == 0 {
		l.hushed()
	}
}

// hushed tells those who wait in Forget.
func (l *lane) hushed() {
	close(l.quiet)
	l.quiet = nil
	l.forgetting.Store(false)
}

// leash holds the attempts of a lane: their contexts end when it is cut.
type leash struct {
	ctx context.Context
	cut context.CancelCauseFunc
}

// leashes keeps some that were not cut, for lanes to come: a webhook with little
// to do has a lane for each event.
type leashes []leash

const maxLeashes = 64

func (ls *leashes) put(l leash) {
	if len(*ls) < maxLeashes {
		*ls = append(*ls, l)
		return
	}
	l.cut(nil) // nobody listens any more
}

// leash returns one for a lane. Call it with d.mu held.
func (d *Dispatcher) leash() (l leash) {
	if last := len(d.leashes) - 1; last >= 0 {
		l = d.leashes[last]
		d.leashes = d.leashes[:last]
		return l
	}
	l.ctx, l.cut = context.WithCancelCause(d.ctx)
	return l
}
