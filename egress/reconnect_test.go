package egress_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

const keepAlive = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// moody answers the first request of its first connection, and treats the
// second one as it is told. Later connections are answered by rest.
type moody struct {
	conns, requests atomic.Int32
	second          func(c net.Conn)
	rest            func(c net.Conn)
}

func (m *moody) serve(c net.Conn) {
	if m.conns.Add(1) > 1 {
		if _, ok := readRequest(c); ok {
			m.requests.Add(1)
			m.rest(c)
		}
		return
	}
	for range 2 {
		if _, ok := readRequest(c); !ok {
			return
		}
		if m.requests.Add(1) == 2 {
			m.second(c)
			return
		}
		_, _ = io.WriteString(c, keepAlive) // the client may have gone
	}
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0) // closing sends RST then
}

func hangUp(net.Conn) {}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) } // the client may have gone
}

func TestDeadKeptConnectionIsReplacedOnce(t *testing.T) {
	for name, second := range map[string]func(net.Conn){"closed": hangUp, "reset": reset} {
		t.Run(name, func(t *testing.T) {
			m := &moody{second: second, rest: say(keepAlive)}
			e := mustNew(t, local())
			url := "http://" + rawServer(t, m.serve)
			if r := post(t, e, url); r.status != 200 || r.trace.Reconnected {
				t.Fatalf("first: %d, %+v (%v)", r.status, r.trace, r.err)
			}
			r := post(t, e, url)
			if r.status != 200 || !r.trace.Reconnected {
				t.Errorf("second: %d, %+v (%v); want 200 after a reconnect", r.status, r.trace, r.err)
			}
			if conns, requests := m.conns.Load(), m.requests.Load(); conns != 2 || requests != 3 {
				t.Errorf("%d connections, %d requests; want 2, 3", conns, requests)
			}
		})
	}
}

func TestDeadKeptTLSConnectionIsReplaced(t *testing.T) {
	certificate, cfg := tlsServer(t, nil)
	settings := &tls.Config{Certificates: certificate.TLS.Certificates}
	m := &moody{second: hangUp, rest: say(keepAlive)}
	e := mustNew(t, cfg)
	url := "https://" + rawServer(t, func(c net.Conn) {
		secure := tls.Server(c, settings)
		defer secure.Close() // sends bytes, but none of a response
		m.serve(secure)
	})
	post(t, e, url)
	if r := post(t, e, url); r.status != 200 || !r.trace.Reconnected {
		t.Errorf("got %d, %+v (%v); want 200 after a reconnect", r.status, r.trace, r.err)
	}
}

func TestFreshConnectionIsNotRepeated(t *testing.T) {
	var requests atomic.Int32
	url := "http://" + rawServer(t, func(c net.Conn) {
		if _, ok := readRequest(c); ok {
			requests.Add(1)
		}
	})
	e := mustNew(t, local())
	r := post(t, e, url)
	r.want(t, webhook.Reset, false)
	if r.trace.Reconnected || requests.Load() != 1 {
		t.Errorf("reconnected %v, %d requests; want one", r.trace.Reconnected, requests.Load())
	}
}

func TestReconnectHappensOnce(t *testing.T) {
	m := &moody{second: hangUp, rest: hangUp}
	e := mustNew(t, local())
	url := "http://" + rawServer(t, m.serve)
	post(t, e, url)
	r := post(t, e, url)
	r.want(t, webhook.Reset, false)
	if conns := m.conns.Load(); conns != 2 || !r.trace.Reconnected {
		t.Errorf("%d connections, reconnected %v; want 2, true", conns, r.trace.Reconnected)
	}
}

func TestNothingIsRepeatedAfterTheFirstByte(t *testing.T) {
	for text, want := range map[string]webhook.Outcome{
		"H":                           webhook.BadResponse,
		"HTTP/1.1 200 OK\r\n":         webhook.Reset,
		"HTTP/1.1 103 E\r\n\r\n":      webhook.Reset,
		"nonsense\r\n\r\n":            webhook.BadResponse,
		"HTTP/1.1 500 Broken\r\n\r\n": webhook.Success, // a response is a response
	} {
		m := &moody{second: say(text), rest: say(keepAlive)}
		e := mustNew(t, local())
		url := "http://" + rawServer(t, m.serve)
		post(t, e, url)
		r := post(t, e, url)
		r.want(t, want, false)
		if requests := m.requests.Load(); requests != 2 || r.trace.Reconnected {
			t.Errorf("%q: %d requests, reconnected %v; want 2, false", text, requests, r.trace.Reconnected)
		}
	}
}

func TestDeadlineEndsReconnecting(t *testing.T) {
	m := &moody{second: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, rest: say(keepAlive)}
	e := mustNew(t, local())
	url := "http://" + rawServer(t, m.serve)
	post(t, e, url)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := postBy(ctx, t, e.Transport(project, hook), url)
	r.want(t, webhook.Timeout, false)
	if conns := m.conns.Load(); conns != 1 {
		t.Errorf("%d connections, want 1", conns)
	}
}

// Other clients repeat what these headers make idempotent.
func TestNoHeaderMakesForMoreThanOneRepeat(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		m := &moody{second: hangUp, rest: hangUp}
		e := mustNew(t, local())
		url := "http://" + rawServer(t, m.serve)
		post(t, e, url)
		r := request(t, url, webhook.Header{Name: name, Value: "k"})
		send(t.Context(), t, e.Transport(project, hook), r).want(t, webhook.Reset, false)
		if requests := m.requests.Load(); requests != 3 {
			t.Errorf("%s: %d requests, want 3: two and one repeat", name, requests)
		}
	}
}

// A busy receiver that closes at random loses nothing and gets nothing twice
// that it answered.
func TestReconnectUnderLoad(t *testing.T) {
	var answered atomic.Int32
	address := rawServer(t, func(c net.Conn) {
		for i := range 3 {
			if _, ok := readRequest(c); !ok || i == 2 {
				return // hangs up on the third
			}
			answered.Add(1)
			_, _ = io.WriteString(c, keepAlive)
		}
	})
	e := mustNew(t, local())
	errs := make(chan error, 8)
	const each = 50
	for range cap(errs) {
		go func() {
			for i := range each {
				if r := post(t, e, "http://"+address); r.status != 200 {
					errs <- fmt.Errorf("request %d: %w", i, r.err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := answered.Load(); got != each*int32(cap(errs)) {
		t.Errorf("%d requests answered, want %d", got, each*cap(errs))
	}
}
