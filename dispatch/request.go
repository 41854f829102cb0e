package dispatch

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The headers of a request, in the form net/http keeps them (contract section 1).
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
func staticHeader(custom []webhook.Header, userAgent string) http.Header {
	h := make(http.Header, len(custom)+2)
	for _, c := range custom {
		if !egress.Reserved(c.Name) {
			h.Set(c.Name, c.Value)
		}
	}
	h.Set(headerContentType, "application/json")
	h.Set(headerUserAgent, userAgent)
	return h
}

// newRequest returns the request of one attempt.
func newRequest(
	ctx context.Context, r *Receiver, ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger, now time.Time,
) *http.Request {
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           r.URL,
		Host:          r.URL.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        newHeader(r, ev, d, number, trigger, now),
		Body:          newBody(ev.Body),
		GetBody:       func() (io.ReadCloser, error) { return newBody(ev.Body), nil },
		ContentLength: int64(len(ev.Body)),
	}
	return req.WithContext(ctx)
}

// newHeader adds what is different in each attempt. It comes last and wins.
func newHeader(
	r *Receiver, ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger, now time.Time,
) http.Header {
	h := make(http.Header, len(r.Header)+systemHeaders)
	maps.Copy(h, r.Header)
	values := make([]string, 0, systemHeaders) // one allocation for all of them
	set := func(name, value string) {
		if value == "" {
			return
		}
		values = append(values, value)
		n := len(values)
		h[name] = values[n-1 : n : n]
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

// newBody returns a body that net/http knows to be in memory: it then goes out in
// one write with the headers.
func newBody(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
