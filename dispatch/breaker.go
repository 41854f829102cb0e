package dispatch

import (
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/webhook"
)

// breaker stops a lane from hammering a receiver that is dead. While it is
// open, one attempt at a time goes out now and then, as a probe; the first that
// is answered closes it. It uses up nothing: a probe is the attempt that was due
// anyway, and what is held only waits longer.
//
// It is for backlogs. The schedule of a webhook with few deliveries pending is
// never touched, however often they fail.
type breaker struct {
	open    bool
	probeAt time.Time // while open: no attempt before
	probes  int       // that have failed since it opened

	failures int       // in a row
	since    time.Time // when the first of them ended
}

// A breaker opens after so many failures in a row, over at least so long, while
// at least so many deliveries are pending.
const (
	breakerFailures = 50
	breakerTime     = 10 * time.Second
	breakerBacklog  = 1000
)

// The time between probes doubles from the first to the second.
const (
	firstProbe = time.Second
	lastProbe  = 15 * time.Second
)

// answer is what an attempt tells about its receiver.
type answer int

const (
	alive   answer = iota // it answered, if only to refuse this one event
	dead                  // no answer, or one that it cannot serve at all
	nothing               // the gateway failed on the way
)

// answerOf judges an attempt that was made.
func answerOf(a *webhook.Attempt) answer {
	switch a.Outcome {
	case webhook.Success, webhook.HTTP3xx:
		return alive
	case webhook.HTTP4xx:
		if a.StatusCode == 429 {
			return dead
		}
		return alive
	case webhook.Panicked:
		return nothing
	default:
		return dead
	}
}

// note takes an attempt into account. It returns true if that has opened or
// closed the breaker. backlog is how many deliveries are pending.
func (b *breaker) note(a answer, backlog int, now time.Time) (switched bool) {
	switch a {
	case alive:
		switched = b.open
		*b = breaker{}
	case dead:
		if b.failures == 0 {
			b.since = now
		}
		b.failures++
		if b.open {
			b.probed(now)
			return false
		}
		if b.failures >= breakerFailures && now.Sub(b.since) >= breakerTime && backlog >= breakerBacklog {
			b.open, switched = true, true
			b.probed(now)
		}
	case nothing:
	}
	return switched
}

// probed sets the time of the next probe. Attempts that were in flight side by
// side count once.
func (b *breaker) probed(now time.Time) {
	if now.Before(b.probeAt) {
		return
	}
	b.probeAt = now.Add(min(firstProbe<<min(b.probes, 10), lastProbe))
	b.probes++
}

// tripped tells that the breaker of a webhook has opened or closed.
func (d *Dispatcher) tripped(webhookID string, open bool) {
	if open {
		d.log.Warn("the receiver of a webhook seems to be dead; its deliveries wait, attempts go on now and then",
			zap.String("webhook_id", webhookID))
	} else {
		d.log.Info("the receiver of a webhook answers again", zap.String("webhook_id", webhookID))
	}
	d.observer.Tripped(webhookID, open)
}

// Down counts the webhooks whose deliveries wait because their receivers seem
// to be dead.
func (d *Dispatcher) Down() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, l := range d.lanes {
		if l.state == Active && l.breaker.open {
			n++
		}
	}
	return n
}
