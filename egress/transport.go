package egress

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// maxSessions bounds the TLS sessions that are kept for resumption.
const maxSessions = 1024

// Transport sends the attempts of webhooks that share source addresses and
// rules. It is safe for concurrent use.
type Transport struct {
	egress  *Egress
	rules   *rules
	family4 family
	family6 family
	tls     *tls.Config
	pool    pool
}

// Trace is what is known of an attempt beside its response.
type Trace struct {
	// SourceIP and RemoteIP are the two ends of the connection; empty when none
	// was made. Behind a proxy SourceIP is empty and RemoteIP is the receiver's
	// address, which the proxy was asked for.
	SourceIP, RemoteIP string

	// Reconnected tells that the attempt began on a kept connection that turned
	// out to be dead, and was repeated on a fresh one.
	Reconnected bool

	// Phase is what the attempt was doing when it ended: PhaseDone if a
	// response arrived.
	Phase Phase
}

func newTransport(e *Egress, r *rules, source4, source6 netip.Addr) *Transport {
	t := &Transport{
		egress: e,
		rules:  r,
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            e.cfg.RootCAs,
			NextProtos:         []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(maxSessions),
		},
	}
	anyFamily := len(e.cfg.Sources) == 0
	t.family4 = newFamily("tcp4", source4, anyFamily, e.guard, r)
	t.family6 = newFamily("tcp6", source6, anyFamily, e.guard, r)
	t.pool.perEndpoint = e.cfg.MaxIdlePerHost
	t.pool.closed = e.closed.Load()
	return t
}

// Send makes one attempt: it sends r and returns the response with its body
// still to be read and closed. ctx must have a deadline; it covers everything
// up to the end of the response headers and, as long as it is not cancelled,
// the body.
//
// If a kept connection fails before the first byte of a response, the request
// is sent once more on a fresh connection. Nothing else is ever repeated,
// whatever headers r has.
//
// The error is an *Error. Send returns soon after the deadline; where no name
// server answers, up to a second later, spent on finding that out.
func (t *Transport) Send(ctx context.Context, r *Request) (*http.Response, Trace, error) {
	a := &attempt{Context: ctx}
	resp, err := t.send(a, r)
	if err == nil {
		return resp, a.result(), nil
	}
	failure := a.failure(err, t.egress.names)
	trace := a.result()
	trace.Phase = failure.Phase
	return nil, trace, failure
}

func (t *Transport) send(a *attempt, r *Request) (*http.Response, error) {
	if err := t.egress.checkRequest(r); err != nil {
		return nil, err
	}
	m, err := newMessage(r)
	if err != nil {
		return nil, err
	}
	defer m.done()
	to := endpoint{secure: r.URL.Scheme == "https", host: r.URL.Host}
	keep := func(c *conn) { t.pool.put(to, c) }

	if c := t.pool.take(to); c != nil {
		resp, err := a.exchange(c, m, keep)
		if err == nil || a.answered || a.Err() != nil || isDeadline(err) {
			return resp, err
		}
		a.conn, a.reconnected = nil, true
	}
	c, err := t.dial(a, r.URL)
	if err != nil {
		return nil, err
	}
	return a.exchange(c, m, keep)
}

// checkRequest holds what was saved under other settings to those of today.
func (e *Egress) checkRequest(r *Request) error {
	if r.URL == nil || e.checkScheme(r.URL.Scheme) != "" || r.URL.User != nil {
		return &Error{Phase: PhaseStart, cause: blockedf("URL"), Outcome: webhook.BlockedAddress, Text: "the webhook's URL is not allowed"}
	}
	return nil
}

// attempt is what is known of one attempt while it is made. It is owned by the
// goroutine of Send, but for internal.
type attempt struct {
	context.Context

	phase       Phase         // until there is a connection
	lookupSince time.Duration // in the resolver's time
	conn        *conn         // nil until there is one
	answered    bool          // the first byte of a response has arrived
	reconnected bool

	internal atomic.Bool // an address was dialled that is not public
}

func (a *attempt) result() Trace {
	trace := Trace{Reconnected: a.reconnected, Phase: PhaseDone}
	if a.conn != nil {
		trace.SourceIP, trace.RemoteIP = a.conn.source, a.conn.remote
	}
	return trace
}

// current returns what the attempt is doing.
func (a *attempt) current() Phase {
	switch {
	case a.answered:
		return PhaseResponse
	case a.conn != nil:
		return PhaseRequest
	}
	return a.phase
}
