package steady

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crossing is a socket with the server of an old configuration and, after
// reload, that of a new one.
type crossing struct {
	t       *testing.T
	pool    socketPool
	address string
	old     *http.Server
	begun   atomic.Int32 // calls of the old server's handler

	mu     sync.Mutex
	states map[*conn]http.ConnState // of the old server
	served []string                 // by the new server: method and path
}

func newCrossing(t *testing.T, handler http.HandlerFunc) *crossing {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &crossing{
		t: t, address: free.Addr().String(), states: make(map[*conn]http.ConnState),
		pool: socketPool{open: make(map[string]*socket)},
	}
	_ = free.Close()
	c.old = c.serve(func(w http.ResponseWriter, r *http.Request) {
		c.begun.Add(1)
		handler(w, r)
	}, func(nc net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.states[nc.(*conn)] = state
	})
	return c
}

func (c *crossing) serve(handler http.HandlerFunc, watch func(net.Conn, http.ConnState)) *http.Server {
	c.t.Helper()
	ln, err := c.pool.join(c.address, true, func(address string) (net.Listener, error) { return net.Listen("tcp", address) })
	if err != nil {
		c.t.Fatal(err)
	}
	server := &http.Server{
		Handler: handler, ConnState: watch,
		ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			c.t.Errorf("serve: %v", err)
		}
	}()
	c.t.Cleanup(func() { _ = server.Close() })
	return server
}

// appear puts a new configuration beside the old one.
func (c *crossing) appear() {
	c.t.Helper()
	c.serve(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.served = append(c.served, r.Method+" "+r.URL.Path)
		_, _ = io.WriteString(w, "new")
	}, nil)
}

// await waits until the old server has connections and a condition holds for all
// of them.
func (c *crossing) await(what string, holds func(conn *conn, state http.ConnState) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		n, missing := len(c.states), 0
		for conn, state := range c.states {
			conn.mu.Lock()
			if !holds(conn, state) {
				missing++
			}
			conn.mu.Unlock()
		}
		c.mu.Unlock()
		if n > 0 && missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d connections did not come to be %s", missing, n, what)
		}
	}
}

func (c *crossing) awaitIdle() {
	c.t.Helper()
	c.await("idle", func(_ *conn, state http.ConnState) bool { return state == http.StateIdle })
}

// awaitRead waits until n bytes of a request were read.
func (c *crossing) awaitRead(n int) {
	c.t.Helper()
	c.await("read from", func(conn *conn, _ http.ConnState) bool { return conn.request.got == int64(n) })
}

// awaitAnswer waits until the answer is under way.
func (c *crossing) awaitAnswer() {
	c.t.Helper()
	c.await("answered", func(conn *conn, _ http.ConnState) bool { return !conn.asked })
}

// awaitGone waits until the old server has given its connections up.
func (c *crossing) awaitGone() {
	c.t.Helper()
	c.await("given up", func(conn *conn, _ http.ConnState) bool { return conn.gone })
}

// awaitHandler waits until a handler of the old server has begun.
func (c *crossing) awaitHandler() {
	c.t.Helper()
	c.await("served", func(*conn, http.ConnState) bool { return c.begun.Load() > 0 })
}

// retire stops the old one, without waiting for what it is at.
func (c *crossing) retire() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.old.Shutdown(ctx)
}

func (c *crossing) byNew() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.served, ", ")
}

// client is one connection.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (c *crossing) dial() *client {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return &client{c.t, conn, bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads an answer and returns its body.
func (c *client) answer() string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("body of the answer: %v", err)
	}
	return string(body)
}

// closed expects the end of the connection, soon.
func (c *client) closed() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	rest, err := io.ReadAll(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection is still open, and told %q", rest)
	}
}

const get = "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "old") }

func TestIdleConnectionGoesOn(t *testing.T) {
	c := newCrossing(t, hello)
	conn := c.dial()
	for range 2 {
		conn.send(fmt.Sprintf(get, "a"))
		if got := conn.answer(); got != "old" {
			t.Fatalf("before the reload %q answers", got)
		}
	}
	conn.send("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	conn.answer()
	c.awaitIdle()
	c.appear()
	c.retire()
	conn.send(fmt.Sprintf(get, "b"))
	if got := conn.answer(); got != "new" || c.byNew() != "GET /b" {
		t.Errorf("after the reload %q answers; it served %s", got, c.byNew())
	}
}

func TestRequestThatIsArrivingGoesOn(t *testing.T) {
	c := newCrossing(t, hello)
	conn := c.dial()
	conn.send(fmt.Sprintf(get, "a"))
	conn.answer()
	const begin = "POST /b HTTP/1.1\r\nHo"
	conn.send(begin)
	c.awaitRead(len(begin))
	c.appear()
	c.retire()
	c.awaitGone()
	conn.send("st: x\r\nContent-Length: 4\r\n\r\nbody")
	if got := conn.answer(); got != "new" || c.byNew() != "POST /b" {
		t.Errorf("%q answers; it served %s", got, c.byNew())
	}
}

func TestStreamThatEndsInOrderGoesOn(t *testing.T) {
	stop := make(chan struct{})
	c := newCrossing(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "old")
		_ = http.NewResponseController(w).Flush() // before it is known that this is the last answer
		<-stop
	})
	conn := c.dial()
	conn.send(fmt.Sprintf(get, "a"))
	c.awaitAnswer()
	c.appear()
	c.retire()
	close(stop)
	conn.answer()
	conn.send(fmt.Sprintf(get, "b"))
	if got := conn.answer(); got != "new" {
		t.Errorf("%q answers", got)
	}
}

// A handler that gives up has done something already: its request must not be
// served once more.
func TestAbortedRequestIsNotServedAgain(t *testing.T) {
	rest := map[string]string{"half a POST": "12345", "expects a 100": "body"}
	for name, request := range map[string]string{
		"GET":            fmt.Sprintf(get, "a"),
		"POST":           "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"half a POST":    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
		"chunked":        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
		"expects a 100":  "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
		"first of a few": strings.Repeat(fmt.Sprintf(get, "a"), 3),
	} {
		for _, reads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reads %v", name, reads), func(t *testing.T) {
				abort := make(chan struct{})
				c := newCrossing(t, func(w http.ResponseWriter, r *http.Request) {
					if reads {
						_, _ = r.Body.Read(make([]byte, 4))
					}
					<-abort
					panic(http.ErrAbortHandler)
				})
				conn := c.dial()
				conn.send(request)
				c.awaitHandler()
				c.appear()
				c.retire()
				close(abort)
				_, _ = io.WriteString(conn, rest[name]) // net/http waits for it
				conn.closed()
				if n := c.begun.Load(); n > 1 || c.byNew() != "" {
					t.Errorf("the old configuration served it %d times, the new one %s", n, c.byNew())
				}
			})
		}
	}
}

// What a server that is closed by force is at must not be served again.
func TestClosedServerHandsOnNoRequestThatIsServed(t *testing.T) {
	wait := make(chan struct{})
	c := newCrossing(t, func(http.ResponseWriter, *http.Request) { <-wait })
	defer close(wait)
	conn := c.dial()
	conn.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
	c.awaitHandler()
	c.appear()
	_ = c.old.Close()
	conn.closed()
	if c.byNew() != "" {
		t.Errorf("the new configuration served %s again", c.byNew())
	}
}

// The client of an answer that broke off must see that, and no other answer may
// be taken for its rest.
func TestAnswerThatBreaksOffEndsItsConnection(t *testing.T) {
	for name, handler := range map[string]func(http.ResponseWriter){
		"aborted": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"short":   func(http.ResponseWriter) {},
	} {
		for _, length := range []string{"100", ""} {
			for _, next := range []string{"", fmt.Sprintf(get, "next")} {
				if name == "short" && length == "" && next == "" {
					continue // nothing is broken off
				}
				t.Run(fmt.Sprintf("%s, length %q, before %q", name, length, next), func(t *testing.T) {
					stop := make(chan struct{})
					c := newCrossing(t, func(w http.ResponseWriter, _ *http.Request) {
						if length != "" {
							w.Header().Set("Content-Length", length)
						}
						_, _ = io.WriteString(w, "some")
						_ = http.NewResponseController(w).Flush()
						<-stop
						handler(w)
					})
					conn := c.dial()
					conn.send(fmt.Sprintf(get, "a") + next)
					c.awaitAnswer()
					c.appear()
					c.retire()
					close(stop)
					conn.closed()
					if c.byNew() != "" {
						t.Errorf("the new configuration served %s on the connection", c.byNew())
					}
				})
			}
		}
	}
}

// What is left of a request that was answered is no request.
func TestNoPartOfARequestBecomesOne(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	t.Run("second half of a pipelined request", func(t *testing.T) {
		c := newCrossing(t, hello)
		conn := c.dial()
		conn.send(fmt.Sprintf(get, "a") + "GET /b HTTP/1.1\r\nHost: x\r\nX-Header: ")
		conn.answer()
		c.awaitIdle()
		c.appear()
		c.retire()
		c.awaitGone()
		_, _ = io.WriteString(conn, smuggled)
		conn.closed()
		if c.byNew() != "" {
			t.Errorf("the new configuration served %s", c.byNew())
		}
	})
	t.Run("body behind an early answer", func(t *testing.T) {
		c := newCrossing(t, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.WriteString(w, "old")
			_ = http.NewResponseController(w).Flush()
		})
		conn := c.dial()
		conn.send(fmt.Sprintf("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(smuggled)))
		conn.answer()
		c.appear()
		conn.send(smuggled)
		c.awaitRead(len(smuggled))
		c.retire()
		conn.closed()
		if c.byNew() != "" {
			t.Errorf("the new configuration served %s", c.byNew())
		}
	})
	t.Run("end of a long header", func(t *testing.T) {
		// The read that is under way when the connection is closed still gets
		// something, and the header becomes too long to be kept.
		c := newCrossing(t, hello)
		c.appear()
		wire := newWire("GET /a HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", maxRequestKept-100), strings.Repeat("x", 4000))
		conn := newConn(accepted{conn: wire}, c.pool.open[c.address].shares[0])
		buf := make([]byte, maxRequestKept)
		if _, err := conn.Read(buf); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		go func() {
			defer close(read)
			_, _ = conn.Read(buf)
		}()
		<-wire.reading
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-read
		select {
		case <-wire.closed:
		case <-time.After(time.Second):
			t.Error("a request of which a part was forgotten goes on to the new configuration")
		}
	})
}

// wire is a connection whose last part arrives when a deadline ends the read.
type wire struct {
	net.Conn
	parts    []string
	reading  chan struct{}
	deadline chan struct{}
	closed   chan struct{}
	once     sync.Once
}

func newWire(parts ...string) *wire {
	return &wire{parts: parts, reading: make(chan struct{}), deadline: make(chan struct{}), closed: make(chan struct{})}
}

func (w *wire) Read(b []byte) (int, error) {
	if len(w.parts) == 1 {
		close(w.reading)
		<-w.deadline
	}
	if len(w.parts) == 0 {
		<-w.closed
		return 0, io.EOF
	}
	n := copy(b, w.parts[0])
	w.parts = w.parts[1:]
	return n, nil
}

func (w *wire) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		w.once.Do(func() { close(w.deadline) })
	}
	return nil
}

func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) Write(b []byte) (int, error)      { return len(b), nil }
func (w *wire) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (w *wire) RemoteAddr() net.Addr             { return new(net.TCPAddr) }

func (w *wire) Close() error {
	close(w.closed)
	return nil
}

// A connection that speaks something else does not come back to HTTP.
func TestOtherProtocolsEndWithTheirHandlers(t *testing.T) {
	stop := make(chan struct{})
	c := newCrossing(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if r.URL.Path == "/upgrade" {
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			_ = rw.Flush()
		}
		<-stop
		_ = conn.Close()
	})
	upgraded, silent, old := c.dial(), c.dial(), c.dial()
	upgraded.send("GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	silent.send(fmt.Sprintf(get, "hijack"))
	old.send("GET /upgrade HTTP/1.0\r\n\r\n")
	c.await("taken over by a handler", func(_ *conn, state http.ConnState) bool { return state == http.StateHijacked })
	c.appear()
	c.retire()
	upgraded.send(fmt.Sprintf(get, "smuggled"))
	close(stop)
	upgraded.closed()
	silent.closed()
	old.closed()
	if c.byNew() != "" {
		t.Errorf("the new configuration served %s", c.byNew())
	}
}

// A client that asks for the end of the connection waits for it.
func TestLastAnswerEndsTheConnection(t *testing.T) {
	for name, request := range map[string]string{
		"HTTP/1.0":          "GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
		"Connection: close": "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) { lastAnswer(t, request) })
	}
}

func lastAnswer(t *testing.T, request string) {
	stop := make(chan struct{})
	c := newCrossing(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "old")
		_ = http.NewResponseController(w).Flush()
		<-stop
	})
	conn := c.dial()
	conn.send(request)
	c.awaitAnswer()
	c.appear()
	c.retire()
	close(stop)
	conn.closed()
}
