package dispatch

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The headers of a request, in the form they are sent in (contract section 1).
var (
	headerContentType     = http.CanonicalHeaderKey("content-type")
	headerUserAgent       = http.CanonicalHeaderKey("user-agent")
	headerEvent           = http.CanonicalHeaderKey("x-tengine-event")
	headerDelivery        = http.CanonicalHeaderKey("x-tengine-delivery")
	headerAttempt         = http.CanonicalHeaderKey("x-tengine-attempt")
	headerTest            = http.CanonicalHeaderKey("x-tengine-test")
	headerTengine         = http.CanonicalHeaderKey(signer.HeaderTengine)
	headerTenginePrevious = http.CanonicalHeaderKey(signer.HeaderTenginePrevious)
	headerTengineNext     = http.CanonicalHeaderKey(signer.HeaderTengineNext)
	headerID              = http.CanonicalHeaderKey(signer.HeaderID)
	headerTimestamp       = http.CanonicalHeaderKey(signer.HeaderTimestamp)
	headerStandard        = http.CanonicalHeaderKey(signer.HeaderStandard)
)

// systemHeaders is how many headers an attempt adds to those of its receiver.
const systemHeaders = 10

// staticHeader returns the headers of a receiver that are the same in every
// attempt. A custom header with a reserved name, from an old record, is left
// out: the delivery still goes out.
func staticHeader(custom []webhook.Header, userAgent string) []webhook.Header {
	h := make([]webhook.Header, 0, len(custom)+2)
	h = append(h,
		webhook.Header{Name: headerContentType, Value: "application/json"},
		webhook.Header{Name: headerUserAgent, Value: userAgent})
	for _, c := range custom {
		if !egress.Reserved(c.Name) {
			h = append(h, webhook.Header{Name: http.CanonicalHeaderKey(c.Name), Value: c.Value})
		}
	}
	return h
}

// newRequest returns the request of one attempt.
func newRequest(
	r *Receiver, ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger, now time.Time,
) *egress.Request {
	return &egress.Request{URL: r.URL, Header: newHeader(r, ev, d, number, trigger, now), Body: ev.Body}
}

// newHeader adds what is different in each attempt. Nothing the receiver chose
// has a name of these.
func newHeader(
	r *Receiver, ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger, now time.Time,
) []webhook.Header {
	h := make([]webhook.Header, len(r.Header), len(r.Header)+systemHeaders)
	copy(h, r.Header)
	set := func(name, value string) {
		if value != "" {
			h = append(h, webhook.Header{Name: name, Value: value})
		}
	}
	set(headerEvent, ev.Type)
	set(headerDelivery, d.ID)
	set(headerAttempt, strconv.Itoa(number))
	if d.Test || trigger == webhook.ByTest {
		set(headerTest, "true")
	}
	sig := r.Signer.Sign(now, ev.ID, ev.Body)
	set(headerTengine, sig.Tengine)
	set(headerTenginePrevious, sig.TenginePrevious)
	set(headerTengineNext, sig.TengineNext)
	set(headerID, sig.ID)
	set(headerTimestamp, sig.Timestamp)
	set(headerStandard, sig.Standard)
	return h
}
