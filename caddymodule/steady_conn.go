package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// steadyConn is a connection that goes over to the next configuration when the
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
type steadyConn struct {
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

func newSteadyConn(a accepted, l *share) *steadyConn {
	return &steadyConn{Conn: a.conn, share: l, unread: a.unread, asked: true}
}

// Read implements net.Conn.
func (c *steadyConn) Read(b []byte) (int, error) {
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
func (c *steadyConn) reads(n int) {
	switch {
	case !c.asked:
		c.asked = n > 1
	case c.request.headed():
		c.served = true
	}
}

// took notes what was read. The caller holds mu.
func (c *steadyConn) took(b []byte) {
	if len(b) == 0 {
		return
	}
	c.request.add(b)
	c.strayed = c.strayed || c.request.odd || c.request.excess()
}

// Write implements net.Conn.
func (c *steadyConn) Write(b []byte) (int, error) {
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
func (c *steadyConn) answers(b []byte) {
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
func (c *steadyConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.strayed = true
	c.mu.Unlock()
	return c.unlessGone(t, c.Conn.SetDeadline)
}

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

// CloseWrite closes the connection for writing, where it can. net/http does so
// before it closes a connection on which a client may still be sending.
func (c *steadyConn) CloseWrite() error {
	c.mu.Lock()
	c.strayed = true
	c.mu.Unlock()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *steadyConn) Close() error {
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
func (c *steadyConn) certain() bool {
	return !c.strayed && !c.failed && !c.served && !c.answer.last && c.answer.complete() && c.request.kept()
}

// leave gives the connection to the next server, if it is still certain where it
// stands after the last read. The caller holds mu.
func (c *steadyConn) leave() {
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

// arrival is a request as far as it has arrived. It has to be read as net/http
// reads it; what could be read in another way is odd.
type arrival struct {
	bytes []byte // all of it, up to maxRequestKept
	got   int64
	size  int64 // header and body; 0: not known yet, or of a chunked one
	ended bool  // the header is there
	odd   bool
}

const (
	// maxRequestKept bounds what is kept of a request. net/http reads little more
	// than the header before it decides whether to serve it.
	maxRequestKept = 16 << 10

	// maxRequestReused bounds what an idle connection holds.
	maxRequestReused = 2 << 10
)

var endOfHeader = []byte("\r\n\r\n")

func (a *arrival) reset() {
	kept := a.bytes[:0]
	if cap(kept) > maxRequestReused {
		kept = nil
	}
	*a = arrival{bytes: kept}
}

func (a *arrival) add(b []byte) {
	if a.kept() {
		a.bytes = append(a.bytes, b[:min(len(b), maxRequestKept-len(a.bytes))]...)
	}
	before := a.got
	a.got += int64(len(b))
	if a.headed() {
		return
	}
	from := max(0, int(before)-len(endOfHeader)+1)
	end := bytes.Index(a.bytes[from:], endOfHeader)
	if end < 0 {
		a.odd = !a.kept()
		return
	}
	a.ended = true
	header := from + end + len(endOfHeader)
	length, sound := requestLength(a.bytes[:header-2])
	a.odd = !sound
	if length >= 0 {
		a.size = int64(header) + length
	}
}

// headed says whether a handler can begin with the request.
func (a *arrival) headed() bool { return a.ended || a.odd }

// kept says whether bytes has all that has arrived.
func (a *arrival) kept() bool { return a.got == int64(len(a.bytes)) }

// whole says whether the request has arrived, and nothing else.
func (a *arrival) whole() bool { return a.ended && !a.odd && a.size > 0 && a.got == a.size }

// excess says whether more has arrived than the request.
func (a *arrival) excess() bool { return a.size > 0 && a.got > a.size }

func (a *arrival) isHead() bool { return bytes.HasPrefix(a.bytes, []byte("HEAD ")) }

// requestLength returns the length of the body of a request with these lines; -1
// if it is chunked. Where there is any doubt it is not sound.
func requestLength(header []byte) (length int64, sound bool) {
	line, rest := cutLine(header)
	if !bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasPrefix(line, []byte("CONNECT ")) {
		return 0, false
	}
	told := false
	for sound = plain(line); sound && len(rest) > 0; sound = sound && plain(line) {
		line, rest = cutLine(rest)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return 0, false
		}
		switch {
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, ok := decimal(bytes.Trim(value, " \t"))
			if !ok || told || length < 0 {
				return 0, false
			}
			length, told = n, true
		}
	}
	return length, sound && !(told && length < 0)
}

// cutLine returns the first of the lines of a header, and the others.
func cutLine(header []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(header, []byte("\r\n"))
	return line, rest
}

// plain says whether a line is one for everybody.
func plain(line []byte) bool {
	return bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, '\r') < 0
}

func decimal(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 15 {
		return 0, false
	}
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		n = 10*n + int64(digit-'0')
	}
	return n, true
}

// departure is an answer as far as it was written. net/http writes a header that
// is not very long at once, with its names in their canonical form. The zero
// departure is complete: there was no answer before.
type departure struct {
	interim bool  // another answer follows
	last    bool  // the connection ends with it
	odd     bool  // it is none of HTTP/1.1, or it is unclear where it ends
	owed    int64 // what is missing of the body, or of a chunk and its line end
	chunked chunked
	part    []byte // of a line that is not whole yet
}

// chunked is where a chunked body stands.
type chunked int

const (
	isNot chunked = iota
	atSize
	inChunk
	inTrailer
	atEnd
)

func (d *departure) begin(b []byte, toHead bool) {
	*d = departure{}
	header, body, ended := bytes.Cut(b, endOfHeader)
	line, rest := cutLine(header)
	status, isHTTP := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	switch {
	case !isHTTP || !ended || bytes.HasPrefix(status, []byte("101")):
		d.odd = true
		return
	case bytes.HasPrefix(status, []byte("1")):
		d.interim = true
		return
	}
	bare := toHead || bytes.HasPrefix(status, []byte("204")) || bytes.HasPrefix(status, []byte("304"))
	framed := bare
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Connection":
			d.last = d.last || string(value) == "close"
		case "Content-Length":
			n, ok := decimal(value)
			if framed = framed || ok; !bare {
				d.owed = n
			}
		case "Transfer-Encoding":
			if framed = framed || string(value) == "chunked"; !bare {
				d.chunked = atSize
			}
		}
	}
	d.odd = !framed
	d.add(body)
}

func (d *departure) add(b []byte) {
	if d.chunked == isNot {
		d.owed -= int64(len(b))
		return
	}
	for len(b) > 0 && !d.odd {
		switch d.chunked {
		case inChunk:
			n := min(d.owed, int64(len(b)))
			b = b[n:]
			if d.owed -= n; d.owed == 0 {
				d.chunked = atSize
			}
		case atEnd:
			d.odd = true
		default:
			b = d.line(b)
		}
	}
}

// line reads the line of a chunk's size, or of the trailer.
func (d *departure) line(b []byte) (rest []byte) {
	if len(d.part) > 0 {
		b = append(d.part, b...)
		d.part = nil
	}
	line, rest, whole := bytes.Cut(b, []byte("\r\n"))
	if !whole {
		d.odd = len(b) > maxRequestReused
		d.part = bytes.Clone(b)
		return nil
	}
	if d.chunked == inTrailer {
		if len(line) == 0 {
			d.chunked = atEnd
		}
		return rest
	}
	size, err := strconv.ParseInt(string(line), 16, 62)
	switch {
	case err != nil || size < 0:
		d.odd = true
	case size == 0:
		d.chunked = inTrailer
	default:
		d.chunked, d.owed = inChunk, size+2
	}
	return rest
}

// complete says whether nothing is missing.
func (d *departure) complete() bool {
	return !d.odd && d.owed == 0 && (d.chunked == isNot || d.chunked == atEnd)
}
