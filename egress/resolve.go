package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// probeTimeout is how long the name servers get to show that they are there.
const probeTimeout = time.Second

// resolver resolves receivers' names and knows whether a failure is the name's
// or that of our own name servers.
//
// It uses Go's resolver, not the C library's: a lookup ends when its context
// does instead of holding a thread, and no odd spelling is taken for an
// address.
type resolver struct {
	net   *net.Resolver
	files *net.Resolver // asks no server: what it finds is in the hosts file
	start time.Time

	// lastAnswer and lastProbe are times since start: of the last packet from
	// any name server, and of the end of the last probe that got none.
	lastAnswer atomic.Int64
	lastProbe  atomic.Int64
	probing    sync.Mutex
}

func newResolver(settings *net.Resolver) *resolver {
	r := &resolver{start: time.Now()}
	dial := (&net.Dialer{}).DialContext
	strict := false
	if settings != nil {
		strict = settings.StrictErrors
		if settings.Dial != nil {
			dial = settings.Dial
		}
	}
	r.net = &net.Resolver{
		PreferGo:     true,
		StrictErrors: strict,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return r.watch(ctx, conn), nil
		},
	}
	r.files = &net.Resolver{
		PreferGo: true,
		Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, errNameServers },
	}
	return r
}

// errNameServers means that our own name servers do not answer.
var errNameServers = errors.New("the name servers do not answer")

// lookup returns the addresses of name. The name is taken as absolute, so
// search domains are never tried. An error wraps errNameServers if it is not
// the name's fault.
func (r *resolver) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if !strings.Contains(name, ".") {
		// Go finds no absolute name of one label in the hosts file.
		if addrs, err := r.files.LookupNetIP(ctx, "ip", name); err == nil {
			return addrs, nil
		}
	}
	began := r.now()
	addrs, err := r.net.LookupNetIP(ctx, "ip", name+".")
	if err == nil {
		return addrs, nil
	}
	if dnsErr, ok := errors.AsType[*net.DNSError](err); ok && dnsErr.IsNotFound {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, err // the attempt is over; who waited for it has gone on
	}
	if r.serversDown(began) {
		return nil, errors.Join(errNameServers, err)
	}
	return nil, err
}

// serversDown reports whether no name server has answered anything since a
// lookup began, not even to a question that any of them can answer. A slow name
// of a receiver is then told from a silent server of ours. It takes up to
// probeTimeout, but only where nothing answers; lookups that fail together
// share one probe.
func (r *resolver) serversDown(since time.Duration) bool {
	answered := func() bool { return r.lastAnswer.Load() > int64(since) }
	if answered() {
		return false
	}
	r.probing.Lock()
	defer r.probing.Unlock()
	if answered() {
		return false
	}
	if r.lastProbe.Load() > int64(since) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	_, _ = r.net.LookupNS(ctx, ".") // any answer will do, a refusal too
	if answered() {
		return false
	}
	r.lastProbe.Store(int64(r.now()))
	return true
}

// now is never zero, so that zero can mean never.
func (r *resolver) now() time.Duration { return time.Since(r.start) + 1 }

// watch returns conn, which notes each packet that arrives and is closed when
// ctx ends; without that a lookup would wait for a silent server long after its
// attempt is over. The resolver tells UDP from TCP by whether conn is a
// net.PacketConn, so that is kept.
func (r *resolver) watch(ctx context.Context, conn net.Conn) net.Conn {
	watched := &watchedConn{Conn: conn, r: r}
	watched.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // the resolver closes it again
	if packets, ok := conn.(net.PacketConn); ok {
		return &watchedPacketConn{watchedConn: watched, packets: packets}
	}
	return watched
}

type watchedConn struct {
	net.Conn
	r    *resolver
	stop func() bool
}

func (c *watchedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.r.lastAnswer.Store(int64(c.r.now()))
	}
	return n, err
}

type watchedPacketConn struct {
	*watchedConn
	packets net.PacketConn
}

func (c *watchedPacketConn) ReadFrom(p []byte) (int, net.Addr, error) { return c.packets.ReadFrom(p) }

func (c *watchedPacketConn) WriteTo(p []byte, to net.Addr) (int, error) {
	return c.packets.WriteTo(p, to)
}
