package egress

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection to a receiver, with its ends as they are reported.
type conn struct {
	net.Conn // what requests go over: plain, or TLS on it

	plain          net.Conn        // TCP, or a tunnel through a proxy
	raw            syscall.RawConn // of plain; nil where there is none
	source, remote string
	internal       bool // the receiver's address is not public

	idleSince time.Time // owned by the pool
}

func newConn(plain net.Conn, remote string, internal bool) *conn {
	c := &conn{Conn: plain, plain: plain, remote: remote, internal: internal}
	if s, ok := plain.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // without it nothing can be looked at
	}
	return c
}

// longAgo is a deadline that ends what is under way at once.
var longAgo = time.Unix(1, 0)

// interrupt ends reads and writes, those to come as well.
func (c *conn) interrupt() { _ = c.plain.SetDeadline(longAgo) } // fails on closed connections only

// Close closes the connection, whatever is under way. TLS says no goodbye: every
// message has said how long it is, so nothing can be cut off unnoticed, and a
// receiver that reads nothing would have to take that word first.
func (c *conn) Close() error { return c.plain.Close() }

// silent reports whether the receiver has sent nothing since the last response:
// neither the end of the connection, nor an answer to a question that was not
// asked yet, which would be taken for the answer to the next one.
func (c *conn) silent() bool {
	return c.raw != nil && nothingWaits(c.raw) && c.nothingDecrypted()
}

// nothingDecrypted is for what TLS has taken off the socket already. A read that
// is over before it begins still finds that, and does no harm to the session. It
// may want to write: what the receiver asks TLS for is answered while reading.
// That is over before it begins as well, but makes the session useless, which the
// next write tells.
func (c *conn) nothingDecrypted() bool {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	if err := c.plain.SetDeadline(longAgo); err != nil {
		return false
	}
	_, err := secure.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if _, err := secure.Write(nil); err != nil {
		return false
	}
	return c.plain.SetDeadline(time.Time{}) == nil
}
