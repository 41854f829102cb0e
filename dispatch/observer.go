package dispatch

import (
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Observer is told what the Dispatcher does. Its methods are called by the
// goroutine of the attempt, which keeps its worker and its place in the lane
// meanwhile: they must be quick and safe for concurrent use. They may call the
// store and the Dispatcher, but not Stop.
type Observer interface {
	// Settled is told of every outcome that was recorded.
	Settled(Report)

	// Gone is told that a receiver answered 410, before that is recorded, with
	// the webhook as the attempt was made to it. Unless it has another URL by now,
	// the gateway disables it.
	Gone(sub *webhook.Subscription)

	// NotMade is told of an attempt that a fault of the gateway prevented, or
	// cut short; the delivery is due again and has lost nothing.
	NotMade(webhookID string, a *webhook.Attempt)

	// ClaimLost is told of an outcome that was not recorded because its claim
	// had ended. The delivery is sent again.
	ClaimLost(webhookID string)

	// Tripped is told when the deliveries of a webhook begin to wait because
	// its receiver seems to be dead (open), and when it answers again.
	Tripped(webhookID string, open bool)
}

// Report is one outcome that was recorded.
type Report struct {
	Event    *webhook.Event
	Delivery *webhook.Delivery // as it was before

	// Attempt is what was tried; nil if the delivery ended without.
	Attempt *webhook.Attempt

	// Status is what the delivery is now, and Reason why where the status
	// alone does not say.
	Status webhook.Status
	Reason string

	// Latency is the time since the event was accepted.
	Latency time.Duration
}

// nobody is the Observer of those who want none.
type nobody struct{}

func (nobody) Settled(Report)                   {}
func (nobody) Gone(*webhook.Subscription)       {}
func (nobody) NotMade(string, *webhook.Attempt) {}
func (nobody) ClaimLost(string)                 {}
func (nobody) Tripped(string, bool)             {}
