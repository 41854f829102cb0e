package dispatch

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Decision is what an attempt means for its delivery.
type Decision int

const (
	// Retry: the attempt failed; the schedule says whether there is another.
	Retry Decision = iota

	// Delivered: the receiver answered 2xx.
	Delivered

	// Gone: the receiver answered 410 and wants nothing more.
	Gone

	// NotMade: the gateway itself failed, or the context ended. The receiver
	// is not to blame and no attempt counts.
	NotMade
)

// Verdict is what the Sender makes of an attempt.
type Verdict struct {
	Decision Decision

	// RetryAfter is how long the receiver asked to wait (429 and 503 only);
	// zero if it did not.
	RetryAfter time.Duration

	// Cause is why the attempt was not made, for the operator's log. It holds
	// no secret, but more than a receiver's owner may know. Nil unless the
	// gateway itself failed.
	Cause error
}

// Sender makes attempts. It is safe for concurrent use.
type Sender struct {
	log     *zap.Logger
	buffers sync.Pool // of *[webhook.MaxResponseBody]byte
}

// NewSender returns a Sender. The logger may be nil; it is used for panics.
func NewSender(log *zap.Logger) *Sender {
	if log == nil {
		log = zap.NewNop()
	}
	return &Sender{
		log:     log,
		buffers: sync.Pool{New: func() any { return new([webhook.MaxResponseBody]byte) }},
	}
}

// Send sends an event once and says what came of it. number counts the attempts
// of the delivery from 1. The receiver has r.Timeout to answer, all told, and
// bodyTime more for the part of the response body that is recorded.
//
// When ctx ends before the response headers are there, the verdict is NotMade,
// although the receiver may have got the event. A panic on the way is an
// attempt that failed.
func (s *Sender) Send(
	ctx context.Context, r *Receiver, ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger,
) (a webhook.Attempt, v Verdict) {
	began := time.Now()
	a = webhook.Attempt{Number: number, StartedAt: began.UTC(), Trigger: trigger}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("sending panicked",
				zap.String("webhook_id", d.WebhookID),
				zap.String("delivery_id", d.ID),
				zap.Any("panic", p),
				zap.Stack("stack"))
			a.Duration = time.Since(began)
			a.Outcome, a.Error = webhook.Panicked, "the gateway failed while sending"
			v = Verdict{}
		}
	}()

	b := newBudget(ctx, began, r.Timeout)
	defer b.end()
	resp, trace, err := r.Transport.Send(b, newRequest(r, ev, d, number, trigger, began))
	a.Duration = time.Since(began)
	a.SourceIP, a.RemoteIP = trace.SourceIP, trace.RemoteIP
	if err != nil {
		return failed(ctx, a, err)
	}
	defer resp.Body.Close()

	a.StatusCode = resp.StatusCode
	a.Outcome, a.Error = classify(resp.StatusCode)
	a.ResponseHeaders = recordHeader(resp.Header)
	b.extend(bodyTime)
	s.readBody(&a, resp)
	r.secrets.mask(&a)
	return a, verdictOf(resp, began)
}

// failed classifies an attempt that brought no response.
func failed(ctx context.Context, a webhook.Attempt, err error) (webhook.Attempt, Verdict) {
	var fault bool
	a.Outcome, a.Error, fault = egress.Classify(err)
	switch {
	case ctx.Err() != nil:
		a.Error = "cut short: " + context.Cause(ctx).Error()
		return a, Verdict{Decision: NotMade}
	case fault:
		return a, Verdict{Decision: NotMade, Cause: err}
	}
	return a, Verdict{}
}

// verdictOf judges a response (contract section 1, Success).
func verdictOf(resp *http.Response, now time.Time) Verdict {
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return Verdict{Decision: Delivered}
	case code == http.StatusGone:
		return Verdict{Decision: Gone}
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return Verdict{RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	default:
		return Verdict{}
	}
}
