package dispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// handle brings one delivery to an outcome and has it recorded. The worker
// token is still held when it returns.
func (d *Dispatcher) handle(j *job) {
	d.begin(j) // before the receiver is asked for
	defer func() {
		if p := recover(); p != nil {
			d.logPanic("handling a delivery panicked", j.lane.webhookID, p)
			if !j.ended {
				d.lapse(j)
			}
		}
		d.end(j)
	}()

	claimedFor := j.state
	j.receiver, j.state = d.resolve(j.lane.webhookID)
	switch {
	case d.closed.Load():
		d.release(j, j.claimed.Delivery.NextAttemptAt)
	case j.trigger != "":
		d.handleOnce(j)
	case j.state == Active && claimedFor == Active && d.timeLeft(j) > 0 && j.receiver.gets(j.claimed.Event):
		d.attempt(j)
	default:
		d.end(j)
		d.withhold(j)
	}
}

// withhold ends a delivery that must not be sent, or gives it back. What was
// claimed ahead of its time, or against a pause, comes back when it is due.
func (d *Dispatcher) withhold(j *job) {
	delivery := &j.claimed.Delivery
	ends := func(status webhook.Status, reason string) {
		d.settle(j, queue.Result{Status: status, Step: delivery.Step, Reason: reason, At: d.clock.wallTime()})
	}
	expired := d.timeLeft(j) <= 0
	switch {
	case j.state == Unknown:
		ends(webhook.Cancelled, "")
	case j.state == Disabled:
		ends(webhook.Skipped, disabledReason(j.receiver))
	case j.state == Active && !j.receiver.gets(j.claimed.Event):
		ends(webhook.Skipped, webhook.ReasonOtherProject)
	case expired && j.state == Parked:
		ends(webhook.Cancelled, webhook.ReasonExpired)
		d.sweepOn(j.lane)
	case expired:
		ends(webhook.Failed, webhook.ReasonExpired)
		d.sweepOn(j.lane)
	default:
		d.release(j, delivery.NextAttemptAt)
	}
}

func disabledReason(r *Receiver) string {
	if r == nil || r.Subscription.DisabledReason == "" {
		return webhook.ReasonDisabled
	}
	return r.Subscription.DisabledReason
}

// timeLeft returns how long a delivery may stay pending from now on.
func (d *Dispatcher) timeLeft(j *job) time.Duration {
	return j.agesFrom().Sub(d.ages.Cutoff(d.maxAge))
}

// agesFrom returns when the delivery began to grow old: when its event was
// accepted, or when it was last replayed.
func (j *job) agesFrom() time.Time {
	return latest(j.claimed.Event.ReceivedAt, j.claimed.Delivery.ReplayedAt)
}

// expireAt returns when to claim a delivery, by the Dispatcher's clock, so that
// it fails for its age. While the wall clock is further on than can be believed,
// that is when it can be.
func (d *Dispatcher) expireAt(j *job, now time.Time) time.Time {
	byWall := j.agesFrom().Add(d.maxAge).Sub(d.clock.wallTime())
	return now.Add(min(d.timeLeft(j), max(byWall, patience))).Add(expirySlack)
}

// expirySlack makes up for small corrections of the clock, which an AgeClock
// follows late.
const expirySlack = time.Second

// sweepOn looks for more that has expired, if the webhook is held.
func (d *Dispatcher) sweepOn(l *lane) {
	d.mu.Lock()
	l.sweepAt = time.Time{}
	d.mu.Unlock()
}

// attempt sends a delivery and obeys the verdict. A test event, which the gateway
// sends by itself, is never retried.
func (d *Dispatcher) attempt(j *job) {
	delivery, schedule, trigger := &j.claimed.Delivery, j.receiver.Schedule, webhook.BySchedule
	switch {
	case delivery.Test:
		schedule, trigger = nil, webhook.ByTest
	case !delivery.ReplayedAt.IsZero():
		trigger = webhook.ByReplay
	}
	a, verdict := d.sender.Send(j.ctx, j.receiver, j.claimed.Event, delivery, delivery.Attempts+1, trigger)
	d.end(j)
	if verdict.Decision == NotMade {
		d.notMade(j, &a, verdict.Cause)
		return
	}
	if verdict.Decision == Gone {
		d.observer.Gone(j.receiver.Subscription)
		if d.moved(j) {
			verdict.Decision = Retry
		}
	}

	r := queue.Result{Attempt: &a, Step: delivery.Step + 1}
	switch verdict.Decision {
	case Delivered:
		r.Status = webhook.Delivered
	case Gone:
		r.Status, r.Reason = webhook.Failed, webhook.ReasonGone
	default:
		now := d.clock.now()
		next, again := schedule.Next(r.Step, now, verdict.RetryAfter)
		r.Status = webhook.Failed
		if again {
			// When its time is up it is claimed once more, to fail.
			r.Status, r.NextAttemptAt = webhook.Pending, earliest(next, d.expireAt(j, now))
		}
	}
	d.vacate(j, &a)
	d.settle(j, r)
}

// moved says whether the webhook has another URL than the attempt was made to:
// what the former receiver says about itself does not concern the present one.
func (d *Dispatcher) moved(j *job) bool {
	r, _ := d.resolve(j.lane.webhookID)
	return r != nil && r.Subscription.URL != j.receiver.Subscription.URL
}

// vacate gives the lane its slot back as soon as the receiver is done. The worker
// token stays until the outcome is on disk, so that the outcomes that a kill can
// lose are at most as many as there are workers.
func (d *Dispatcher) vacate(j *job, a *webhook.Attempt) {
	backlog := 0
	answer := answerOf(a)
	if answer == dead {
		backlog = d.store.Backlog(j.lane.webhookID)
	}
	now := d.clock.now()
	switched := d.vacateAt(j, a, answer, backlog, now)
	if switched {
		d.tripped(j.lane.webhookID, answer == dead)
	}
}

func (d *Dispatcher) vacateAt(j *job, a *webhook.Attempt, answer answer, backlog int, now time.Time) (switched bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := j.lane
	j.answered = true
	l.answered++
	l.hangs = a.Outcome == webhook.Timeout
	switched = l.breaker.note(answer, backlog, now)
	d.arrange(l, now)
	d.staff()
	return switched
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// notMade gives a delivery back that the gateway itself could not send. The
// cause may be nil.
func (d *Dispatcher) notMade(j *job, a *webhook.Attempt, cause error) {
	d.observer.NotMade(j.lane.webhookID, a)
	if j.ctx.Err() != nil { // cut short
		d.release(j, j.claimed.Delivery.NextAttemptAt)
		return
	}
	d.log.Warn("the gateway could not make an attempt",
		zap.String("webhook_id", j.lane.webhookID),
		zap.String("delivery_id", j.claimed.Delivery.ID),
		zap.String("outcome", string(a.Outcome)),
		zap.Error(cause))
	now := d.clock.now()
	d.mu.Lock()
	until := j.lane.fault(now)
	d.mu.Unlock()
	if j.trigger != "" {
		until = j.claimed.Delivery.NextAttemptAt
	}
	d.release(j, until)
}

// settle records the outcome of a delivery.
func (d *Dispatcher) settle(j *job, r queue.Result) {
	claim := j.claimed.Claim
	if err := d.store.Finish(context.Background(), claim, r); err != nil {
		d.unrecorded("record the outcome", j, err)
		return
	}
	j.ended, j.settled = true, true
	d.observer.Settled(Report{
		Event:    j.claimed.Event,
		Delivery: &j.claimed.Delivery,
		Attempt:  r.Attempt,
		Status:   r.Status,
		Reason:   r.Reason,
		Latency:  max(0, d.clock.wallTime().Sub(j.claimed.Event.ReceivedAt)),
	})
}

// release gives a delivery back as it was.
func (d *Dispatcher) release(j *job, due time.Time) {
	if err := d.store.Release(context.Background(), j.claimed.Claim, due); err != nil {
		d.unrecorded("release a claim", j, err)
		return
	}
	j.ended = true
}

// unrecorded deals with an outcome that the store did not take. The delivery is
// due again when its claim ends; a receiver may then get it twice.
func (d *Dispatcher) unrecorded(doing string, j *job, err error) {
	if errors.Is(err, queue.ErrClaimLost) {
		d.log.Warn("claim was lost",
			zap.String("webhook_id", j.lane.webhookID),
			zap.String("delivery_id", j.claimed.Delivery.ID))
		d.observer.ClaimLost(j.lane.webhookID)
		return
	}
	d.storeFailed(doing, j.lane.webhookID, err)
	d.lapse(j)
}

// lapse notes that the claim of j was not ended and will run out by itself. It
// keeps the lane back, so that what cannot be recorded is not sent on and on.
func (d *Dispatcher) lapse(j *job) {
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	j.lane.lapse = latest(j.lane.lapse, j.claimed.Claim.Until)
	j.lane.fault(now)
}
