package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// maxResponseHeaders bounds the status line and headers of a response, in
	// bytes, interim (1xx) responses included.
	maxResponseHeaders = 64 << 10

	// idleTimeout is below the 5 s after which Node closes idle connections.
	idleTimeout = 4 * time.Second

	// maxIdle bounds the idle connections of one Transport to all receivers.
	maxIdle = 4096

	// maxSessions bounds the TLS sessions that are kept for resumption.
	maxSessions = 1024
)

// Transport sends the attempts of webhooks that share source addresses and
// rules. It is safe for concurrent use.
type Transport struct {
	egress  *Egress
	rules   *rules
	family4 family
	family6 family
	tls     *tls.Config

	// kept keeps connections for reuse; fresh opens one for each request.
	kept, fresh *http.Transport
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

	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	t.kept = &http.Transport{
		Proxy: nil, // ours is part of dial: the guard comes first
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return t.dial(ctx, addr, false)
		},
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return t.dial(ctx, addr, true)
		},
		Protocols:              http1,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeaders,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    e.cfg.MaxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
	}
	t.fresh = t.kept.Clone()
	t.fresh.DisableKeepAlives = true
	return t
}

// RoundTrip makes one attempt: it sends req and returns the response with its
// body still to be read and closed. The context of req must have a deadline;
// it covers everything up to the end of the response headers and, as long as
// it is not cancelled, the body.
//
// If a kept connection fails before the first byte of a response, the request
// is sent once more on a fresh connection, provided req.GetBody can give the
// body again. Nothing else is ever repeated, whatever headers req has.
//
// The error is an *Error. RoundTrip closes req.Body. It returns soon after the
// deadline; where no name server answers, up to a second later, spent on
// finding that out.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, Trace, error) {
	if err := t.egress.checkRequest(req); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // a reader of bytes
		}
		return nil, Trace{Phase: PhaseStart}, err
	}
	first := t.kept
	if t.egress.closed.Load() {
		first = t.fresh
	}
	a := newAttempt(req.Context())
	resp, err := a.send(first, req)
	if err == nil {
		return resp, a.result(), nil
	}
	if again, ok := a.again(req); ok {
		a = newAttempt(req.Context())
		a.reconnected = true
		if resp, err = a.send(t.fresh, again); err == nil {
			return resp, a.result(), nil
		}
	}
	failure := a.failure(err, t.egress.names)
	trace := a.result()
	trace.Phase = failure.Phase
	return nil, trace, failure
}

// checkRequest holds what was saved under other settings to those of today.
func (e *Egress) checkRequest(req *http.Request) error {
	if req.URL == nil || e.checkScheme(req.URL.Scheme) != "" || req.URL.User != nil {
		return &Error{Phase: PhaseStart, cause: blockedf("URL"), Outcome: outcomeBlocked, Text: "the webhook's URL is not allowed"}
	}
	return nil
}

// attempt follows one request through net/http. It is the request's context as
// well, so that a dialer, which gets a context that outlives the request, finds
// the request's own.
type attempt struct {
	context.Context
	trace       httptrace.ClientTrace
	reconnected bool

	// Owned by the caller of send.
	conn   *conn // nil until there is one
	reused bool

	// Written by the goroutine that dials.
	phase       atomic.Int32
	lookupSince atomic.Int64 // in the resolver's time
	internal    atomic.Bool  // an address was dialled that is not public

	// Written by the goroutine that reads the response.
	answered atomic.Bool
}

type attemptKey struct{}

func newAttempt(ctx context.Context) *attempt {
	a := &attempt{Context: ctx}
	a.trace.GotConn = a.gotConn
	a.trace.GotFirstResponseByte = a.gotFirstByte
	return a
}

// Value implements context.Context.
func (a *attempt) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// send hands req to rt without GetBody: with it, net/http itself repeats what
// it takes for idempotent, as often as it likes.
func (a *attempt) send(rt *http.Transport, req *http.Request) (*http.Response, error) {
	r := req.WithContext(httptrace.WithClientTrace(a, &a.trace))
	r.GetBody = nil
	return rt.RoundTrip(r)
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.conn = unwrapConn(info.Conn)
	a.reused = info.Reused
}

func (a *attempt) gotFirstByte() { a.answered.Store(true) }

// again returns the request to repeat if a failed on a dead kept connection.
func (a *attempt) again(req *http.Request) (*http.Request, bool) {
	if a.conn == nil || !a.reused || a.answered.Load() || a.Err() != nil {
		return nil, false
	}
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	r := *req
	r.Body = body
	return &r, true
}

func (a *attempt) result() Trace {
	trace := Trace{Reconnected: a.reconnected, Phase: PhaseDone}
	if a.conn != nil {
		trace.SourceIP, trace.RemoteIP = a.conn.source, a.conn.remote
	}
	return trace
}

// current returns what the attempt is doing. Once it has a connection, a dial
// that it began and no longer needs does not count.
func (a *attempt) current() Phase {
	switch {
	case a.answered.Load():
		return PhaseResponse
	case a.conn != nil:
		return PhaseRequest
	}
	return Phase(a.phase.Load())
}

func (a *attempt) enter(p Phase) { a.phase.Store(int32(p)) }
