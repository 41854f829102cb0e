package steady

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterNetwork(Network, listen)
}

// Network is the name of the network.
const Network = "steady"

// Use moves the plain TCP addresses of the server that a handler is provisioned
// for to the network; call it in the handler's Provision, because Caddy listens
// after all handlers are provisioned. It does nothing for a context without a
// server, for a server with TLS or a shutdown delay, and for other networks, like
// tcp4.
func Use(ctx caddy.Context) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(srv.TLSConnPolicies) > 0 || delaysShutdown(ctx) {
		return
	}
	for i, listen := range srv.Listen {
		if addr, err := caddy.ParseNetworkAddress(listen); err == nil && addr.Network == "tcp" {
			addr.Network = Network
			srv.Listen[i] = addr.String()
		}
	}
}

// delaysShutdown reports whether Caddy waits before it closes listeners. It does
// not know that those of a network like this one go on in the next configuration,
// and would wait at each reload.
func delaysShutdown(ctx caddy.Context) bool {
	for _, module := range ctx.Modules() {
		if app, ok := module.(*caddyhttp.App); ok {
			return app.ShutdownDelay > 0
		}
	}
	return false
}

// listen is a caddy.ListenerFunc.
func listen(ctx context.Context, _, host, portRange string, portOffset uint, config net.ListenConfig) (any, error) {
	first, _, _ := strings.Cut(portRange, "-")
	n, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q of a %s address: %w", portRange, Network, err)
	}
	n += uint64(portOffset)
	return sockets.join(net.JoinHostPort(host, strconv.FormatUint(n, 10)), n != 0, func(address string) (net.Listener, error) {
		config.Control = sharePort // as Caddy does, so that a reload can change the network
		ln, err := config.Listen(ctx, "tcp", address)
		if !errors.Is(err, fs.ErrPermission) {
			return ln, err
		}
		return listenAsCaddy(ctx, host, uint(n), config)
	})
}

// listenAsCaddy is for low ports: Caddy takes the capability to bind them, if it
// may, only when it needs it.
func listenAsCaddy(ctx context.Context, host string, port uint, config net.ListenConfig) (net.Listener, error) {
	ln, err := caddy.NetworkAddress{Network: "tcp", Host: host, StartPort: port, EndPort: port}.Listen(ctx, 0, config)
	if err != nil {
		return nil, err
	}
	return ln.(net.Listener), nil
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
	pool    *socketPool
	address string
	ln      net.Listener

	shares []*share // by pool.mu; oldest first
}

// A share is one configuration's part in a socket.
type share struct {
	socket   *socket
	accepted chan accepted
	done     chan struct{} // closed by Close
	yielded  bool          // by socket.pool.mu: another share takes the connections
}

// accepted is what accepting gave: a connection, with what another share had
// read from it, or an error that may pass.
type accepted struct {
	conn   net.Conn
	unread []byte
	err    error
}

// join returns a share of the socket that is open on an address, or of a new
// one. An address without a port of its own is not shared: the system chooses
// another one each time.
func (p *socketPool) join(address string, shared bool, listen func(address string) (net.Listener, error)) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.open[address]
	if !ok {
		ln, err := listen(address)
		if err != nil {
			return nil, err
		}
		s = &socket{pool: p, address: address, ln: ln}
		if shared {
			p.open[address] = s
		}
		go s.accept()
	}
	if n := len(s.shares); n > 0 {
		s.shares[n-1].yielded = true
	}
	l := &share{socket: s, accepted: make(chan accepted), done: make(chan struct{})}
	s.shares = append(s.shares, l)
	return l, nil
}

// accept hands connections to the newest share until the last one is closed. It
// runs no code of others that could panic.
func (s *socket) accept() {
	for {
		conn, err := s.ln.Accept()
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
		return newConn(a, l), nil
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
		close(l.done)
		if n := len(s.shares); n > 0 {
			if !l.yielded { // its configuration was withdrawn
				l.yielded, s.shares[n-1].yielded = true, false
			}
			return nil
		}
		if s.pool.open[s.address] == s {
			delete(s.pool.open, s.address)
		}
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
	return l.yielded
}

// Interface guards
var (
	_ caddy.ListenerFunc = listen
	_ net.Listener       = (*share)(nil)
)
