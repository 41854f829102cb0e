package dispatch

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// OnceClaim is how long a claim that is handed to Once has to last.
const OnceClaim = 5 * time.Minute

// maxOnce is how many attempts by hand may be in flight. They have workers of
// their own, so that somebody who asks for one does not wait for the backlog.
// Those of one project, whose receivers may be slow on purpose, leave some to the
// others.
const (
	maxOnce        = 64
	maxProjectOnce = 16
)

// byHand counts the attempts of Once in flight, by project. They take no worker
// token. The zero value is ready.
type byHand struct {
	all       int
	ofProject map[string]int
}

// add counts one more, unless there are too many.
func (h *byHand) add(projectID string) bool {
	if h.all >= maxOnce || h.ofProject[projectID] >= maxProjectOnce {
		return false
	}
	if h.ofProject == nil {
		h.ofProject = make(map[string]int)
	}
	h.all++
	h.ofProject[projectID]++
	return true
}

func (h *byHand) remove(projectID string) {
	h.all--
	if h.ofProject[projectID]--; h.ofProject[projectID] == 0 {
		delete(h.ofProject, projectID)
	}
}

// Errors of Once. Test with errors.Is. After ErrStopped, too, nothing is sent.
var (
	// ErrBusy: too many attempts by hand are in flight.
	ErrBusy = errors.New("too many attempts by hand are in flight")

	// ErrNoReceiver: the webhook is unknown, or parked, or not for the event's
	// project any more.
	ErrNoReceiver = errors.New("webhook has no receiver")
)

// Once makes one attempt of a delivery now, whatever its status and whatever
// the State of its webhook, as long as that has a receiver. It takes over the
// claim, which has to last for OnceClaim, and returns before the attempt ends;
// Stop waits for it.
//
// On success the delivery is Delivered. Else its status, its step and its next
// time stand as they were. An attempt that a fault of the gateway prevented, or
// that was cut short, leaves no trace but in the log. The rate limit does not
// delay the attempt, but counts it; so does the limit of attempts in flight.
//
// When it is over ended is called, once, with whether the outcome is recorded; Stop
// waits for that, too.
//
// On an error nothing is sent, ended is not called, and the claim stays the caller's.
func (d *Dispatcher) Once(c queue.Claimed, trigger webhook.Trigger, ended func(recorded bool)) error {
	if err := d.once(c, trigger, ended); err != nil {
		return fmt.Errorf("attempt delivery %s: %w", c.Claim.DeliveryID, err)
	}
	return nil
}

func (d *Dispatcher) once(c queue.Claimed, trigger webhook.Trigger, ended func(recorded bool)) error {
	j := job{claimed: &c, trigger: trigger}
	var state State
	if j.receiver, state = d.resolve(c.Claim.WebhookID); j.receiver == nil || state == Unknown || !j.receiver.gets(c.Event) {
		return ErrNoReceiver
	}

	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.halted:
		return cmp.Or(d.err, ErrStopped)
	case !d.byHand.add(j.receiver.Subscription.ProjectID):
		return ErrBusy
	}
	l := d.lane(c.Claim.WebhookID)
	if l.inflight == 0 {
		l.claimedAt = now
	}
	l.hold(1)
	if l.look { // its turn is yet to come
		l.setRate(j.receiver.Rate, now)
	}
	if l.limiter != nil {
		l.limiter.ReserveN(now, 1)
	}
	j.lane, j.ctx = l, l.attempts.ctx
	d.running.Add(1)
	go d.workOnce(&j, ended)
	d.arrange(l, now)
	d.staff()
	return nil
}

func (d *Dispatcher) workOnce(j *job, ended func(recorded bool)) {
	project := j.receiver.Subscription.ProjectID // handle asks for the receiver anew
	defer d.running.Done()
	defer d.guard("an attempt by hand")
	d.handle(j)
	ended(j.settled)
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byHand.remove(project)
	d.leave(j, now)
	d.staff()
}

// handleOnce is what handle does with an attempt by hand.
func (d *Dispatcher) handleOnce(j *job) {
	before := &j.claimed.Delivery
	if j.receiver == nil || j.state == Unknown || !j.receiver.gets(j.claimed.Event) {
		d.release(j, before.NextAttemptAt)
		return
	}
	a, verdict := d.sender.Send(j.ctx, j.receiver, j.claimed.Event, before, before.Attempts+1, j.trigger)
	d.end(j)
	if verdict.Decision == NotMade {
		d.notMade(j, &a, verdict.Cause)
		return
	}

	r := queue.Result{
		Attempt: &a, Step: before.Step,
		Status: before.Status, Reason: before.Reason, NextAttemptAt: before.NextAttemptAt, At: before.FinishedAt,
	}
	switch verdict.Decision {
	case Retry, NotMade: // it stands as it stood
	case Delivered:
		r.Status, r.Reason, r.NextAttemptAt, r.At = webhook.Delivered, "", time.Time{}, time.Time{}
	case Gone:
		d.observer.Gone(j.receiver.Subscription)
	}
	d.vacate(j, &a)
	d.settle(j, r)
}
