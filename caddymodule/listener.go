package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(SteadyListener{})
}

// SteadyListener is a listener wrapper for servers whose clients must not
// notice a reload, such as services that publish events over connections they
// keep. Without it every reload closes the connections that are idle at that
// moment, also those on which a request is just arriving, and resets those that
// the kernel has taken and Caddy has not: those requests get no answer and have
// to be sent again.
//
// With it, the configurations before and after a reload accept from the same
// socket, and the connections that the old one gives up go on to the new one.
//
// It has no settings. In a Caddyfile it stands before "tls" and other wrappers,
// because what it keeps over a reload must not depend on the configuration:
//
//	{
//		servers {
//			listener_wrappers {
//				webhook_gateway
//				tls
//			}
//		}
//	}
//
// Connections with TLS are closed as without it, and HTTP/2 has a way of its own
// to end them.
type SteadyListener struct{}

// CaddyModule returns the Caddy module information.
func (SteadyListener) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.listeners.webhook_gateway",
		New: func() caddy.Module { return new(SteadyListener) },
	}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*SteadyListener) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the wrapper's name
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("unrecognized subdirective %q: the listener wrapper has no settings", d.Val())
	}
	return nil
}

// WrapListener implements caddy.ListenerWrapper.
func (SteadyListener) WrapListener(ln net.Listener) net.Listener {
	if fmt.Sprintf("%T", ln) == "*tls.listener" { // it is bound to this configuration's certificates
		return ln
	}
	return sockets.join(ln)
}

// sockets are the sockets that configurations share, by address.
var sockets = socketPool{open: make(map[string]*socket)}

type socketPool struct {
	mu   sync.Mutex
	open map[string]*socket
}

// A socket accepts for all configurations that listen on its address. The
// newest that is not closed gets the connections.
type socket struct {
	pool *socketPool
	key  string
	ln   net.Listener

	shares []*share // by pool.mu; oldest first
}

// A share is one configuration's part in a socket.
type share struct {
	socket   *socket
	accepted chan accepted
	done     chan struct{} // closed by Close
	replaced bool          // by socket.pool.mu: closed while another share goes on
}

// accepted is what accepting gave: a connection, with what another share had
// read from it, or an error that may pass.
type accepted struct {
	conn   net.Conn
	unread []byte
	err    error
}

// join returns a listener on the socket that is open for ln's address. If none
// is, the socket is ln; else ln is closed after settleTime.
func (p *socketPool) join(ln net.Listener) net.Listener {
	key := ln.Addr().Network() + " " + ln.Addr().String()
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.open[key]
	if ok {
		takeAll(s.ln)
		time.AfterFunc(settleTime, func() { _ = ln.Close() })
	} else {
		s = &socket{pool: p, key: key, ln: ln}
		p.open[key] = s
	}
	go s.accept(ln)
	l := &share{socket: s, accepted: make(chan accepted), done: make(chan struct{})}
	s.shares = append(s.shares, l)
	return l
}

// settleTime is how long a listener that is not needed goes on accepting. The
// kernel resets what a listener has not accepted when it is closed, and gives
// it connections as long as it is open; clients connect most right after a
// reload.
const settleTime = time.Second

// accept hands connections to the newest share until the listener is closed. It
// runs no code of others that could panic.
func (s *socket) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if !s.hand(accepted{conn: conn, err: err}) {
			return
		}
	}
}

// hand gives what was accepted to the newest share. When there is none left it
// closes the connection and returns false.
func (s *socket) hand(a accepted) bool {
	for {
		l := s.newest()
		if l == nil {
			if a.conn != nil {
				_ = a.conn.Close()
			}
			return false
		}
		select {
		case l.accepted <- a:
			return true
		case <-l.done:
		}
	}
}

func (s *socket) newest() *share {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	if len(s.shares) == 0 {
		return nil
	}
	return s.shares[len(s.shares)-1]
}

// Accept implements net.Listener.
func (l *share) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		if a.err != nil {
			return nil, a.err
		}
		return &steadyConn{Conn: a.conn, share: l, unread: a.unread}, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The last share closes the socket.
func (l *share) Close() error {
	s := l.socket
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	for i := range s.shares {
		if s.shares[i] != l {
			continue
		}
		s.shares = append(s.shares[:i:i], s.shares[i+1:]...)
		l.replaced = len(s.shares) > 0
		close(l.done)
		if len(s.shares) > 0 {
			return nil
		}
		delete(s.pool.open, s.key)
		return s.ln.Close()
	}
	return net.ErrClosed
}

// Addr implements net.Listener.
func (l *share) Addr() net.Addr { return l.socket.ln.Addr() }

// yields says whether another configuration takes this one's connections. It is
// so even before this one is closed: net/http gives up connections a moment
// before it closes the listener.
func (l *share) yields() bool {
	l.socket.pool.mu.Lock()
	defer l.socket.pool.mu.Unlock()
	others := l.socket.shares
	return l.replaced || len(others) > 0 && others[len(others)-1] != l
}

// Interface guards
var (
	_ caddy.ListenerWrapper = SteadyListener{}
	_ caddyfile.Unmarshaler = (*SteadyListener)(nil)
	_ net.Listener          = (*share)(nil)
)
