package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// steadyConn is a connection that goes over to the next configuration when the
// one that serves it closes it because of a reload.
//
// On a reload net/http closes the connections that are idle, without looking
// whether a request is just arriving, and those whose request it has read and
// not yet begun to serve. Neither has been answered, so what was read of it is
// kept here and given to the next server together with the connection. A
// connection whose last answer said "Connection: close" is closed.
type steadyConn struct {
	net.Conn
	share *share

	mu      sync.Mutex
	unread  []byte    // to be read before the connection
	request []byte    // what was read since the last answer began, unless overlong
	long    bool      // the request has more than maxRequestKept bytes
	readAt  time.Time // when request last grew
	reading bool
	final   bool // the last answer said that it is the last
	failed  bool // reading or writing failed
	gone    bool // closed, or over to the next server
	leaving bool // gone as soon as the read that is under way has ended
}

const (
	// maxRequestKept bounds what is kept of a request. net/http reads little more
	// than the header before it decides whether to serve it.
	maxRequestKept = 16 << 10

	// unservedTime is how long after the last read a close can still mean that
	// the request was not served. It is microseconds; a handler that ended
	// without an answer after this time has done something.
	unservedTime = time.Second
)

// Read implements net.Conn.
func (c *steadyConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return 0, io.EOF
	}
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		c.keep(b[:n])
		c.mu.Unlock()
		return n, nil
	}
	c.reading = true
	c.mu.Unlock()

	n, err := c.Conn.Read(b)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	c.keep(b[:n])
	if c.leaving {
		c.hand()
		return 0, io.EOF
	}
	c.failed = c.failed || fatal(err)
	return n, err
}

// fatal says whether err ends a connection. net/http ends reads by deadlines.
func fatal(err error) bool {
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// keep remembers what was read of a request. The caller holds mu.
func (c *steadyConn) keep(b []byte) {
	if len(b) == 0 {
		return
	}
	c.readAt = time.Now()
	if c.long = c.long || len(c.request)+len(b) > maxRequestKept; c.long {
		c.request = c.request[:0]
		return
	}
	c.request = append(c.request, b...)
}

var lastAnswer = []byte("\r\nConnection: close\r\n")

// Write implements net.Conn.
func (c *steadyConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	if header, _, ok := bytes.Cut(b, []byte("\r\n\r\n")); ok && bytes.HasPrefix(b, []byte("HTTP/1.")) {
		c.final = bytes.Contains(b[:len(header)+2], lastAnswer)
	}
	c.request, c.long = c.request[:0], false
	c.mu.Unlock()

	n, err := c.Conn.Write(b)
	if err != nil {
		c.mu.Lock()
		c.failed = true
		c.mu.Unlock()
	}
	return n, err
}

// Close implements net.Conn.
func (c *steadyConn) Close() error {
	yields := c.share.yields()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone || c.leaving:
		return nil
	case !yields || !c.unanswered():
		c.gone = true
		return c.Conn.Close()
	case c.reading:
		c.leaving = true
		return c.Conn.SetReadDeadline(time.Unix(1, 0)) // ends the read
	default:
		c.hand()
		return nil
	}
}

// unanswered says whether the connection waits for a request, or has one that
// no handler has seen. The caller holds mu.
func (c *steadyConn) unanswered() bool {
	if c.failed || c.final || c.long {
		return false
	}
	return len(c.request) == 0 || time.Since(c.readAt) < unservedTime
}

// hand gives the connection to the next server. The caller holds mu.
func (c *steadyConn) hand() {
	c.gone = true
	if c.Conn.SetDeadline(time.Time{}) != nil {
		_ = c.Conn.Close()
		return
	}
	next := accepted{conn: c.Conn, unread: append(c.request, c.unread...)}
	go c.share.socket.hand(next) // the next server may not accept yet, and ours waits for Close
}

// SetDeadline implements net.Conn.
func (c *steadyConn) SetDeadline(t time.Time) error { return c.unlessGone(t, c.Conn.SetDeadline) }

// SetReadDeadline implements net.Conn.
func (c *steadyConn) SetReadDeadline(t time.Time) error {
	return c.unlessGone(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *steadyConn) SetWriteDeadline(t time.Time) error {
	return c.unlessGone(t, c.Conn.SetWriteDeadline)
}

func (c *steadyConn) unlessGone(t time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.leaving {
		return net.ErrClosed
	}
	return set(t)
}
