package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// State is what the Dispatcher may do with the deliveries of a webhook. The
// zero State is Held: when in doubt, nothing is sent and nothing is lost.
type State int

const (
	// Held: nothing is claimed. What falls due goes out when the webhook is
	// Active again. A webhook is held while it is paused.
	Held State = iota

	// Active: what falls due is sent.
	Active

	// Disabled: pending deliveries end as Skipped, due or not, with the
	// webhook's DisabledReason.
	Disabled

	// Unknown: there is no such webhook. Its pending deliveries end as
	// Cancelled, due or not.
	Unknown

	// Parked is Held, but what gets too old meanwhile ends as Cancelled. A
	// static webhook is parked while it is missing from the configuration.
	Parked
)

func (s State) held() bool { return s == Held || s == Parked }

// Receivers resolves webhooks. It is asked before each claim, and again right
// before each attempt, so that a change holds from the next attempt on.
//
// Receiver must be quick and safe for concurrent use. The Receiver may be nil
// unless the state is Active; with Disabled it brings the reason. All webhooks
// must be known before Dispatcher.Start: Unknown ends deliveries for good.
type Receivers interface {
	Receiver(webhookID string) (*Receiver, State)
}

// Receiver is everything that an attempt needs of a webhook. Make it once per
// version of the subscription and generation of the settings. It is immutable.
type Receiver struct {
	Subscription *webhook.Subscription
	URL          *url.URL

	// Header has the headers that are the same in every attempt.
	Header []webhook.Header

	Signer      *signer.Signer
	Transport   Transport
	Timeout     time.Duration // from DNS to the end of the response headers
	Schedule    queue.Schedule
	Concurrency int // attempts in flight
	Rate        webhook.Rate

	secrets *secrets // nil: there are none
}

// gets says whether the webhook is for an event. A delivery can be of a project
// that its webhook was for when the event came.
func (r *Receiver) gets(e *webhook.Event) bool { return r.Subscription.GetsEventsOf(e.ProjectID) }

// Transport carries one request to a receiver. *egress.Transport does.
type Transport interface {
	Send(context.Context, *egress.Request) (*http.Response, egress.Trace, error)
}

// Settings are the gateway's, for what a subscription leaves open. They have no
// defaults here: all must be set, but for Schedule.
type Settings struct {
	Timeout     time.Duration
	Schedule    queue.Schedule // empty: no retries
	Concurrency int
	UserAgent   string
}

// NewReceiver resolves a subscription against the settings. It fails only if
// the URL does not parse, which validation rules out for what was saved.
func NewReceiver(sub *webhook.Subscription, s *signer.Signer, t Transport, set Settings) (*Receiver, error) {
	u, err := url.Parse(sub.URL)
	if err != nil || u.Host == "" {
		// The text of err holds the URL, which may hold a token.
		return nil, fmt.Errorf("resolve webhook %s: the URL is not valid", sub.ID)
	}
	r := &Receiver{
		Subscription: sub,
		URL:          u,
		Header:       staticHeader(sub.Headers, set.UserAgent),
		Signer:       s,
		Transport:    t,
		Timeout:      cmp.Or(sub.Timeout, set.Timeout),
		Schedule:     set.Schedule,
		Concurrency:  cmp.Or(sub.Concurrency, set.Concurrency),
		Rate:         sub.Rate,
		secrets:      secretsOf(sub.Headers),
	}
	if sub.Retry != nil {
		r.Schedule = sub.Retry
	}
	return r, nil
}
