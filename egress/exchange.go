package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"sync"
)

// maxResponseHeaders bounds the status line and headers of a response, in
// bytes, interim (1xx) responses included.
const maxResponseHeaders = 64 << 10

// errHeadersTooLarge means that a response has more headers than are read.
var errHeadersTooLarge = fmt.Errorf("response headers exceed %d bytes", maxResponseHeaders)

// exchange is a request and its response on a connection. All of it happens in
// the goroutine of the caller, but for a large request, which is written beside
// reading: a receiver may answer, and refuse, what it has not read.
type exchange struct {
	attempt *attempt
	conn    *conn
	keep    func(*conn) // gets the connection if it can be used again; nil: none can

	unwatch func() bool // of the attempt's context
	reader  *bufio.Reader
	room    int       // bytes that may still arrive; negative: any number
	last    byte      // that arrived
	broken  error     // why no more arrives
	body    io.Reader // of the response, as net/http reads it
	bodyErr error     // what ended it
	ended   bool

	writing chan struct{} // closed when the request has been written; nil: it was written at once
	failed  error         // why it could not be, once writing is closed
}

var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// posted is what http.ReadResponse must know of the request.
var posted = &http.Request{Method: http.MethodPost}

// exchange sends m over c and returns the response, whose body is still to be
// read and must be closed. It ends when the context of a does.
func (a *attempt) exchange(c *conn, m *message, keep func(*conn)) (*http.Response, error) {
	x := &exchange{attempt: a, conn: c, keep: keep, room: maxResponseHeaders}
	a.conn = c
	x.unwatch = context.AfterFunc(a, c.interrupt)
	x.reader = readers.Get().(*bufio.Reader)
	x.reader.Reset((*source)(x))

	writeErr := x.write(m)
	resp, err := x.response() // a receiver that takes no more may have said why
	if err != nil {
		x.end(false)
		switch {
		case x.room == 0:
			err = errHeadersTooLarge // whatever was made of a part of them
		case writeErr != nil && !a.answered:
			err = writeErr
		}
		return nil, err
	}
	x.room = -1
	if writeErr != nil || resp.Close || resp.StatusCode == http.StatusSwitchingProtocols {
		x.keep = nil
	}
	if resp.Body == http.NoBody || resp.ContentLength == 0 {
		resp.Body = http.NoBody
		x.end(true)
		return resp, nil
	}
	x.body = resp.Body
	resp.Body = (*responseBody)(x)
	return resp, nil
}

// cutOff reports whether err is about a header line that the connection broke
// in: net/textproto takes the part for a line, which is then malformed.
func (x *exchange) cutOff(err error) bool {
	_, header := errors.AsType[textproto.ProtocolError](err)
	return header && x.broken != nil && x.last != '\n' && x.reader.Buffered() == 0
}

// write sends the request, or begins to.
func (x *exchange) write(m *message) error {
	if m.rest == nil {
		_, err := x.conn.Write(m.first)
		return err
	}
	x.writing = make(chan struct{})
	go x.writeBeside(m)
	return nil
}

// writeBeside ends at the latest when the connection is closed, which end sees
// to and waits for.
func (x *exchange) writeBeside(m *message) {
	defer close(x.writing)
	defer func() {
		if p := recover(); p != nil {
			x.failed = fmt.Errorf("writing panicked: %v", p)
		}
	}()
	if _, x.failed = x.conn.Write(m.first); x.failed == nil {
		_, x.failed = x.conn.Write(m.rest)
	}
}

// response returns the first response that is not an interim one.
func (x *exchange) response() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(x.reader, posted)
		if x.cutOff(err) {
			return nil, x.broken
		}
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// end gives the connection back if the response is complete and nothing else is
// under way, or else closes it.
func (x *exchange) end(complete bool) {
	if x.ended {
		return
	}
	x.ended = true
	open := x.unwatch() // else the context has ended, and the connection with it
	clean := complete && x.reader.Buffered() == 0 && x.wrote()
	x.reader.Reset(nil)
	readers.Put(x.reader)
	if open && clean && x.keep != nil {
		x.keep(x.conn)
	} else {
		_ = x.conn.Close() // whatever is under way ends with it
	}
	if x.writing != nil {
		<-x.writing
	}
}

// wrote reports whether all of the request is written.
func (x *exchange) wrote() bool {
	if x.writing == nil {
		return true
	}
	select {
	case <-x.writing:
		return x.failed == nil
	default:
		return false
	}
}

// source is what the connection brings, as far as there is room for it.
type source exchange

func (s *source) Read(p []byte) (int, error) {
	if s.room == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if s.room > 0 {
		p = p[:min(len(p), s.room)]
	}
	n, err := s.conn.Read(p)
	if s.room > 0 {
		s.room -= n
	}
	if n > 0 {
		s.last = p[n-1]
	}
	s.broken = err
	s.attempt.answered = s.attempt.answered || n > 0
	return n, err
}

// responseBody is the body of a response. Once it has been read to its end, its
// connection can be used again; closing it earlier closes the connection. It
// reads nothing away: that could take for ever.
type responseBody exchange

func (b *responseBody) Read(p []byte) (int, error) {
	if b.bodyErr != nil {
		return 0, b.bodyErr
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.bodyErr = err
		(*exchange)(b).end(errors.Is(err, io.EOF))
	}
	return n, err
}

func (b *responseBody) Close() error {
	if b.bodyErr == nil {
		b.bodyErr = http.ErrBodyReadAfterClose
	}
	(*exchange)(b).end(false)
	return nil
}
