package dispatch

import (
	"context"
	"errors"
	"time"
)

// budget is the context of one attempt. It ends when the time for the response
// headers is spent; extend then gives time for the body.
//
// context.WithTimeout cannot be extended. A budget has a Deadline all the same:
// a dialer divides the time by it among the addresses of a host.
type budget struct {
	context.Context // ended by cancel, with a cause
	cancel          context.CancelCauseFunc
	timer           *time.Timer
	deadline        time.Time
}

// errSpent is the cause of a budget that was used up.
var errSpent = errors.New("the time is spent")

func newBudget(parent context.Context, began time.Time, timeout time.Duration) *budget {
	b := &budget{deadline: began.Add(timeout)}
	b.Context, b.cancel = context.WithCancelCause(parent)
	b.timer = time.AfterFunc(timeout, func() { b.cancel(errSpent) })
	return b
}

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return b.deadline, true }

// Err implements context.Context: a budget that is spent has passed its deadline.
func (b *budget) Err() error {
	if b.spent() {
		return context.DeadlineExceeded
	}
	return b.Context.Err()
}

// extend gives d from now on, unless the time is spent already.
func (b *budget) extend(d time.Duration) {
	if b.timer.Stop() {
		b.timer.Reset(d)
	}
}

// spent says whether the time was used up.
func (b *budget) spent() bool { return errors.Is(context.Cause(b.Context), errSpent) }

// end releases what the budget holds, and whatever still waits for it.
func (b *budget) end() {
	b.timer.Stop()
	b.cancel(context.Canceled)
}
