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
	headerContentType = http.CanonicalHeaderKey("content-type")
	headerUserAgent   = http.CanonicalHeaderKey("user-agent")
	headerEvent       = http.CanonicalHeaderKey("x-tengine-event")
	headerDelivery    = http.CanonicalHeaderKey("x-tengine-delivery")
	headerAttempt     = http.CanonicalHeaderKey("x-tengine-attempt")
	headerTest        = http.CanonicalHeaderKey("x-tengine-test")
	signatureHeaders  = canonicalNames(
		signer.HeaderTengine, signer.HeaderTenginePrevious, signer.HeaderTengineNext,
		signer.HeaderID, signer.HeaderTimestamp, signer.HeaderStandard)
)

// canonicalNames returns the form that names are sent in, by name.
func canonicalNames(names ...string) map[string]string {
	m := make(map[string]string, len(names))
	for _, name := range names {
		m[name] = http.CanonicalHeaderKey(name)
	}
	return m
}

// systemHeaders is how many headers an attempt adds to those of its receiver.
const systemHeaders = 11

// staticHeader returns the headers of a receiver that are the same in every
// attempt. A custom header with a reserved name, from an old record, is left
// out: the delivery still goes out.
func staticHeader(custom []webhook.Header, userAgent string) []webhook.Header {
	h := make([]webhook.Header, 0, len(custom)+1)
	h = append(h, webhook.Header{Name: headerUserAgent, Value: userAgent})
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
	set(headerContentType, "application/json")
	set(headerEvent, ev.Type)
	set(headerDelivery, d.ID)
	set(headerAttempt, strconv.Itoa(number))
	if d.Test || trigger == webhook.ByTest {
		set(headerTest, "true")
	}
	for name, value := range r.Signer.Sign(now, ev.ID, ev.Body).Headers() {
		set(signatureHeaders[name], value)
	}
	return h
}
