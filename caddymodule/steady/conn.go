package steady

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// conn is a connection that goes over to the next configuration when the
// one that serves it closes it because of a reload.
//
// On a reload net/http closes the connections that are idle, without looking
// whether a request is just arriving, and those whose request it has read and
// not yet begun to serve. Neither has been answered, so what was read of it is
// kept here and given to the next server together with the connection.
//
// To serve a request twice, or to take a part of one for another, would be far
// worse than to close. So a connection goes over only if it is certain that it
// stands between two requests, or within one that no handler has seen:
//
//   - Every request on it was HTTP/1.1 of known length and was read to its last
//     byte, and no further, before its answer began.
//   - Every answer was written to its last byte.
//   - No handler has begun with the request that has arrived, if one has.
//
// What speaks anything else (TLS, HTTP/2, an upgrade, a tunnel), and what sends
// requests without waiting for answers or chunked, is closed as on a reload
// without this.
type conn struct {
	net.Conn
	share *share

	mu      sync.Mutex
	unread  []byte // to be read before the connection
	request arrival
	answer  departure
	asked   bool // whoever serves waits for the request or an answer is due; else the answer is under way
	served  bool // a handler has begun with the request
	strayed bool // it cannot be known where on the connection a request begins
	failed  bool // reading or writing failed
	reading bool
	gone    bool // closed, or over to the next server
	leaving bool // gone as soon as the read that is under way has ended
}

func newConn(a accepted, l *share) *conn {
	return &conn{Conn: a.conn, share: l, unread: a.unread, asked: true}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return 0, io.EOF
	}
	c.reads(len(b))
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		c.took(b[:n])
		c.mu.Unlock()
		return n, nil
	}
	c.reading = true
	c.mu.Unlock()

	n, err := c.Conn.Read(b)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	c.took(b[:n])
	c.failed = c.failed || fatal(err)
	if c.leaving {
		c.leave()
		return 0, io.EOF
	}
	return n, err
}

// fatal says whether err ends a connection. net/http ends reads by deadlines.
func fatal(err error) bool {
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// reads learns from a call of Read with room for n bytes. While it serves a
// request net/http reads the body and, after it, a single byte, to notice
// whether the client is still there. Only when an answer is complete it asks for
// more. The caller holds mu.
func (c *conn) reads(n int) {
	switch {
	case !c.asked:
		c.asked = n > 1
	case c.request.headed():
		c.served = true
	}
}

// took notes what was read. The caller holds mu.
func (c *conn) took(b []byte) {
	if len(b) == 0 {
		return
	}
	c.request.add(b)
	c.strayed = c.strayed || c.request.odd || c.request.excess()
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	if c.asked {
		c.answers(b)
	} else {
		c.answer.add(b)
	}
	c.mu.Unlock()

	n, err := c.Conn.Write(b)
	if err != nil {
		c.mu.Lock()
		c.failed = true
		c.mu.Unlock()
	}
	return n, err
}

// answers learns from the beginning of an answer. The caller holds mu.
func (c *conn) answers(b []byte) {
	c.served = true
	c.answer.begin(b, c.request.isHead())
	switch {
	case c.answer.interim:
		return // the answer is still to come
	case c.answer.odd || !c.request.whole():
		c.strayed = true
	}
	c.request.reset()
	c.asked, c.served = false, false
}

// SetDeadline implements net.Conn. net/http calls it when a handler takes the
// connection over.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.strayed = true
	c.mu.Unlock()
	return c.unlessGone(t, c.Conn.SetDeadline)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.unlessGone(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.unlessGone(t, c.Conn.SetWriteDeadline)
}

func (c *conn) unlessGone(t time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.leaving {
		return net.ErrClosed
	}
	return set(t)
}

// CloseWrite closes the connection for writing, where it can. net/http does so
// before it closes a connection on which a client may still be sending.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	c.strayed = true
	c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	yields, unserved := c.share.yields(), false
	if yields {
		unserved = closedUnserved()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone || c.leaving:
		return nil
	case !yields || !c.certain() || c.request.headed() && !unserved:
		c.gone = true
		return c.Conn.Close()
	case c.reading:
		c.leaving = true
		return c.Conn.SetReadDeadline(time.Unix(1, 0)) // ends the read
	default:
		c.leave()
		return nil
	}
}

// certain says whether the connection is known to stand between two requests, or
// within one that has not all arrived, or that closedUnserved must tell about.
// The caller holds mu.
func (c *conn) certain() bool {
	return !c.strayed && !c.failed && !c.served && !c.answer.last && c.answer.complete() && c.request.kept()
}

// leave gives the connection to the next server, if it is still certain where it
// stands after the last read. The caller holds mu.
func (c *conn) leave() {
	c.gone = true
	if !c.certain() || c.Conn.SetDeadline(time.Time{}) != nil {
		_ = c.Conn.Close()
		return
	}
	next := accepted{conn: c.Conn, unread: append(c.request.bytes, c.unread...)}
	go c.share.socket.hand(next) // the next server may not accept yet, and ours waits for Close
}

// closedUnserved says whether net/http calls Close for a connection of which it
// serves no request: because it is idle, or at the end of its loop. What is left
// then are handlers that gave up, and servers that are closed by force.
func closedUnserved() bool {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	unserved := false
	for {
		frame, more := frames.Next()
		switch frame.Function {
		case "runtime.gopanic":
			return false
		case "net/http.(*Server).closeIdleConns", "net/http.(*conn).serve":
			unserved = true
		}
		if !more {
			return unserved
		}
	}
}
