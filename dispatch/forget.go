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
	l, drained := d.drain(webhookID)
	if l == nil {
		return
	}
	grace := time.NewTimer(forgetGrace)
	defer grace.Stop()
	select {
	case <-drained:
		return
	case <-grace.C:
	case <-ctx.Done():
	}
	d.cut(l)
	<-drained
}

// drain returns the lane of a webhook, if there is one, and what is closed when
// its attempts that have begun have ended.
//
// An attempt counts itself in lane.sending before it asks for its receiver. So
// either it is counted here, or it finds that the webhook is gone.
func (d *Dispatcher) drain(webhookID string) (*lane, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[webhookID]
	if l == nil {
		return nil, nil
	}
	if l.drained == nil {
		l.drained = make(chan struct{})
		l.forgetting.Store(true)
	}
	drained := l.drained
	if l.sending.Load() == 0 {
		l.tellDrained()
	}
	return l, drained
}

// cut ends the attempts in flight. Those that come later are not affected: the
// webhook may come back.
func (d *Dispatcher) cut(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.drained == nil {
		return // they have ended, and the context may be another lane's by now
	}
	l.attempts.cancel(errForgotten)
	l.attempts = d.attemptContext()
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
	if l.drained != nil && l.sending.Load() == 0 {
		l.tellDrained()
	}
}

// tellDrained tells those who wait in Forget.
func (l *lane) tellDrained() {
	close(l.drained)
	l.drained = nil
	l.forgetting.Store(false)
}

// attemptContext is the context of a lane's attempts, with what cuts them short.
type attemptContext struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// attemptContexts keeps some that were not cancelled, for lanes to come: a
// webhook with little to do has a lane for each event.
type attemptContexts []attemptContext

const maxSpareContexts = 64

func (cs *attemptContexts) put(c attemptContext) {
	if len(*cs) < maxSpareContexts {
		*cs = append(*cs, c)
		return
	}
	c.cancel(nil) // nobody listens any more
}

// attemptContext returns one for a lane. Call it with d.mu held.
func (d *Dispatcher) attemptContext() (c attemptContext) {
	if last := len(d.spare) - 1; last >= 0 {
		c = d.spare[last]
		d.spare = d.spare[:last]
		return c
	}
	c.ctx, c.cancel = context.WithCancelCause(d.ctx)
	return c
}
