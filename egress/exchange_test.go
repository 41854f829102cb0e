package egress_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

// largeBody is more than the kernel takes of a request that nobody reads.
var largeBody = bytes.Repeat([]byte("x"), 16<<20)

func TestLargeRequestArrivesWholeAndLeavesItsConnection(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, largeBody) {
			t.Errorf("%d bytes arrived (%v), want %d", len(got), err, len(largeBody))
		}
		_, _ = io.WriteString(w, "ok") // the client may have gone
	}))
	conns := countConns(s)
	s.Start()
	t.Cleanup(s.Close)
	e := mustNew(t, local())
	for range 3 {
		r := request(t, s.URL)
		r.Body = largeBody
		if got := send(t.Context(), t, e.Transport(project, hook), r); got.status != 200 || got.body != "ok" {
			t.Errorf("got %d %q (%v)", got.status, got.body, got.err)
		}
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// A receiver may refuse what it has not read, and keep the connection open.
func TestAnswerToAnUnreadRequestIsHeard(t *testing.T) {
	const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
	certificate, cfg := tlsServer(t, nil)
	settings := &tls.Config{Certificates: certificate.TLS.Certificates}
	refuse := func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 100)) // no more than that
		_, _ = io.WriteString(c, tooLarge)
	}
	e := mustNew(t, cfg)
	for name, c := range map[string]struct {
		scheme string
		serve  func(net.Conn, chan struct{})
	}{
		"open":   {"http", func(c net.Conn, done chan struct{}) { refuse(c); <-done }},
		"closed": {"http", func(c net.Conn, _ chan struct{}) { refuse(c) }},
		"tls": {"https", func(c net.Conn, done chan struct{}) {
			secure := tls.Server(c, settings)
			refuse(secure)
			<-done
		}},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			address := rawServer(t, func(conn net.Conn) { c.serve(conn, done) })
			t.Cleanup(func() { close(done) })
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			r := request(t, c.scheme+"://"+address)
			r.Body = largeBody
			if got := send(ctx, t, e.Transport(project, hook), r); got.status != 413 || got.body != "no" {
				t.Errorf("got %d %q (%v), want 413", got.status, got.body, got.err)
			}
		})
	}
}

// What a receiver sends before it is asked would answer the next request.
func TestUnaskedAnswerIsNotTakenForTheNext(t *testing.T) {
	certificate, cfg := tlsServer(t, nil)
	settings := &tls.Config{Certificates: certificate.TLS.Certificates}
	e := mustNew(t, cfg)
	const forged = "HTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		scheme string
		first  string // answers the first request of the first connection
		later  string // comes while the connection is kept
	}{
		"at once":         {"http", keepAlive + forged, ""},
		"at once, by TLS": {"https", keepAlive + forged, ""},
		"while kept":      {"http", keepAlive, forged},
		"while kept, TLS": {"https", keepAlive, forged},
		"with a body":     {"http", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + forged, ""},
		"request timeout": {"http", keepAlive, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
		"something else":  {"http", keepAlive, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{}, 1)
			var conns atomic.Int32
			address := rawServer(t, func(raw net.Conn) {
				conn := raw
				if c.scheme == "https" {
					conn = tls.Server(raw, settings)
				}
				if conns.Add(1) > 1 {
					if _, ok := readRequest(conn); ok {
						_, _ = io.WriteString(conn, "HTTP/1.1 201 Asked\r\nContent-Length: 0\r\n\r\n")
					}
					return
				}
				readRequest(conn)
				_, _ = io.WriteString(conn, c.first)
				_, _ = io.WriteString(conn, c.later)
				sent <- struct{}{}
				readRequest(conn) // until the client goes
			})
			if r := post(t, e, c.scheme+"://"+address); r.status != 200 {
				t.Fatalf("first: %d (%v)", r.status, r.err)
			}
			<-sent
			if r := post(t, e, c.scheme+"://"+address); r.status != 201 {
				t.Errorf("second: %d (%v), want 201", r.status, r.err)
			}
		})
	}
}

// A receiver that closes a kept connection, as all do in time, costs nothing.
func TestConnectionClosedWhileKeptIsNotUsed(t *testing.T) {
	certificate, cfg := tlsServer(t, nil)
	settings := &tls.Config{Certificates: certificate.TLS.Certificates}
	e := mustNew(t, cfg)
	for _, scheme := range []string{"http", "https"} {
		closed := make(chan struct{}, 2)
		address := rawServer(t, func(raw net.Conn) {
			conn := raw
			if scheme == "https" {
				conn = tls.Server(raw, settings)
			}
			if _, ok := readRequest(conn); ok {
				_, _ = io.WriteString(conn, keepAlive)
			}
			_ = conn.Close()
			closed <- struct{}{}
		})
		for i := range 2 {
			if r := post(t, e, scheme+"://"+address); r.status != 200 || r.trace.Reconnected {
				t.Errorf("%s, request %d: %d, reconnected %v (%v)", scheme, i+1, r.status, r.trace.Reconnected, r.err)
			}
			<-closed
		}
	}
}

func TestBodyThatIsNotReadClosesItsConnection(t *testing.T) {
	gone := make(chan struct{})
	address := rawServer(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	})
	resp, _, err := mustNew(t, local()).Transport(project, hook).Send(t.Context(), request(t, "http://"+address))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("the body can be read after it was closed")
	}
	<-gone
}

// The time for the headers does not run on while the body is read; the end of
// the context ends reading it.
func TestBodyIsReadUntilTheContextEnds(t *testing.T) {
	address := rawServer(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx") // the rest never comes
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	resp, _, err := mustNew(t, local()).Transport(project, hook).Send(ctx, request(t, "http://"+address))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the body ended well")
	}
}

func TestHostsOfOtherScriptsAreSentAsTheyAreLookedUp(t *testing.T) {
	hosts := make(chan string, 1)
	s := server(t, func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host })
	port := portOf(t, s.URL)
	cfg := local()
	cfg.Resolver = newNameServer(t, func(string, int) []string { return []string{"127.0.0.1"} }).resolver()
	e := mustNew(t, cfg)
	for host, want := range map[string]string{
		"bücher.example":   "xn--bcher-kva.example",
		"BÜCHER.example":   "xn--bcher-kva.example",
		"straße.example":   "xn--strae-oqa.example",
		"abc。example":      "abc.example",
		"１２７.0.0.1":        "127.0.0.1",
		"ä.localhost":      "xn--4ca.localhost",
		"Receiver.EXAMPLE": "Receiver.EXAMPLE",
	} {
		post(t, e, "http://"+host+":"+port+"/").want(t, webhook.Success, false)
		if got := <-hosts; got != want+":"+port {
			t.Errorf("%s: host %q, want %q", host, got, want)
		}
	}
}

func TestTargetIsSentAsItWasWritten(t *testing.T) {
	targets := make(chan string, 1)
	s := server(t, func(_ http.ResponseWriter, r *http.Request) { targets <- r.RequestURI })
	e := mustNew(t, local())
	for written, want := range map[string]string{
		"":                 "/",
		"?":                "/?",
		"?x=1":             "/?x=1",
		"/a%2Fb":           "/a%2Fb",
		"/a%2Fb/ä":         "/a%2Fb/%C3%A4",
		"/a%2fb|":          "/a%2fb%7C",
		"/ä?q=ä&r=%2F":     "/%C3%A4?q=%C3%A4&r=%2F",
		"/a//b/../c;d=e,f": "/a//b/../c;d=e,f",
		"/{id}?x={y}&z=[]": "/%7Bid%7D?x=%7By%7D&z=[]",
		"/%20?a+b=%":       "/%20?a+b=%",
	} {
		post(t, e, s.URL+written).want(t, webhook.Success, false)
		if got := <-targets; got != want {
			t.Errorf("%s: target %q, want %q", written, got, want)
		}
	}
	// What was saved under other rules cannot begin a request of its own.
	r := request(t, s.URL)
	r.URL.RawQuery = "a HTTP/1.1\r\nX-B: 1"
	send(t.Context(), t, e.Transport(project, hook), r).want(t, webhook.Success, false)
	if got, want := <-targets, "/?a%20HTTP/1.1%0D%0AX-B:%201"; got != want {
		t.Errorf("target %q, want %q", got, want)
	}
}

// FuzzResponse sends whatever a receiver may answer. Every answer has an outcome.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		keepAlive, "", "H", "HTTP/1.1 200 OK\r\n\r\nbody", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early\r\n\r\n" + keepAlive, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nwhatever", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello",
	} {
		f.Add([]byte(seed))
	}
	answers := make(chan []byte, 1)
	address := rawServer(f, func(c net.Conn) {
		if _, ok := readRequest(c); ok {
			_, _ = c.Write(<-answers) // the client may have gone
		}
	})
	e, err := egress.New(local())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(e.Close)
	f.Fuzz(func(t *testing.T, answer []byte) {
		answers <- answer
		r := post(t, e, "http://"+address)
		if r.err == nil && (r.status < 0 || r.status >= 100 && r.status < 200 && r.status != 101) {
			t.Errorf("status %d", r.status)
		}
		if r.err != nil && (r.outcome == webhook.Panicked || r.fault) {
			t.Errorf("outcome %s, fault %v (%v)", r.outcome, r.fault, r.err)
		}
	})
}
