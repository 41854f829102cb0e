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
// kept here and given to the next server together with the connection. Only a
// request that began to arrive when the next configuration was there, or about
// to be, is handed on: one that is older was served, or is being served.
//
// A connection whose last answer said "Connection: close" is closed, and so is
// one that speaks anything but plain HTTP/1: TLS, HTTP/2, an upgrade, a tunnel.
type steadyConn struct {
	net.Conn
	share *share

	mu      sync.Mutex
	unread  []byte    // to be read before the connection
	request []byte    // what was read since the last answer began, if it may be handed on
	begun   bool      // something was read since the last answer began
	kept    bool      // request is all of it
	beganAt time.Time // when begun became true
	reading bool
	final   bool // the last answer said that it is the last
	opaque  bool // this is not HTTP/1, or not any more
	failed  bool // reading or writing failed
	gone    bool // closed, or over to the next server
	leaving bool // gone as soon as the read that is under way has ended
}

const (
	// maxRequestKept bounds what is kept of a request. net/http reads little more
	// than the header before it decides whether to serve it.
	maxRequestKept = 16 << 10

	// unservedTime is how long before the next configuration a request can have
	// begun that net/http then did not serve. It is microseconds on a machine that
	// has time.
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
	if !c.begun {
		c.begun, c.kept, c.beganAt = true, true, time.Now()
	}
	if len(c.request)+len(b) > maxRequestKept {
		c.kept = false
	}
	if !c.kept {
		c.request = c.request[:0]
		return
	}
	c.request = append(c.request, b...)
}

// judge learns from the beginning of an answer what becomes of the connection.
// The caller holds mu.
func (c *steadyConn) judge(answer []byte) {
	header, _, whole := bytes.Cut(answer, []byte("\r\n\r\n"))
	status, isHTTP := bytes.CutPrefix(header, []byte("HTTP/1.1 ")) // an answer in HTTP/1.0 can end with the connection
	switch {
	case !isHTTP || !whole || bytes.HasPrefix(status, []byte("101")):
		c.opaque = true
	case bytes.HasPrefix(status, []byte("1")): // the answer is still to come
		c.kept = false
	default:
		c.final = bytes.Contains(answer[:len(header)+2], []byte("\r\nConnection: close\r\n"))
		c.begun, c.kept = false, false
	}
}

// Write implements net.Conn.
func (c *steadyConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	if c.begun {
		c.judge(b)
	}
	c.request = c.request[:0]
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
	since, yields := c.share.yields()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone || c.leaving:
		return nil
	case !yields || !c.unanswered(since):
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
// no handler has seen. next is when the next configuration came. The caller
// holds mu.
func (c *steadyConn) unanswered(next time.Time) bool {
	if c.failed || c.final || c.opaque {
		return false
	}
	return !c.begun || c.kept && c.beganAt.After(next.Add(-unservedTime))
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
