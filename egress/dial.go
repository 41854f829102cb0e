package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

const (
	// maxAddresses is how many addresses of a name one attempt tries.
	maxAddresses = 8

	// headStart is what one address gets before the next is tried beside it
	// (RFC 8305 section 5).
	headStart = 250 * time.Millisecond

	// dialTimeout bounds a connect in case the attempt has no deadline.
	dialTimeout = 30 * time.Second
)

// family dials the addresses of one IP family.
type family struct {
	network string
	dialer  *net.Dialer // nil: there is no source address of the family
}

func newFamily(network string, source netip.Addr, anySource bool, g *guard, r *rules) family {
	if !source.IsValid() && !anySource {
		return family{network: network}
	}
	d := &net.Dialer{
		Timeout:        dialTimeout,
		KeepAlive:      -1, // connections do not idle for long
		ControlContext: g.dialHook(r, source.IsValid()),
	}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return family{network: network, dialer: d}
}

// dial connects to the receiver at u, within the time of a. The error is an
// *Error.
func (t *Transport) dial(a *attempt, u *url.URL) (*conn, error) {
	h, err := parseHost(u.Hostname())
	if err != nil {
		return nil, a.blocked(err)
	}
	port, ok := portOf(u)
	if !ok {
		return nil, a.blocked(errors.New("not a port"))
	}
	addrs, err := t.resolve(a, h)
	if err != nil {
		return nil, err
	}
	c, err := t.connect(a, addrs, port)
	if err != nil || u.Scheme != "https" {
		return c, err
	}
	return t.handshake(a, c, cmp.Or(h.name, u.Hostname()))
}

// resolve returns the addresses to try, at least one and at most maxAddresses,
// the two families in turn. They are not checked yet.
func (t *Transport) resolve(a *attempt, h host) ([]netip.Addr, error) {
	switch {
	case h.addr.IsValid():
		return []netip.Addr{h.addr}, nil
	case h.local:
		return loopbacks, nil
	case h.singleLabel() && !t.rules.any():
		return nil, a.blocked(errors.New("a name of a single label"))
	}

	names := t.egress.names
	a.lookupSince = names.now()
	a.phase = PhaseResolve
	addrs, err := names.lookup(a, h.name)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return nil, a.dnsError(err)
	}
	return inTurn(addrs), nil
}

// inTurn orders addresses so that the families take turns, beginning with that
// of the first, and keeps at most maxAddresses.
func inTurn(addrs []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
		if addrs[i].Is4() == addrs[0].Is4() {
			first = append(first, addrs[i])
		} else {
			second = append(second, addrs[i])
		}
	}
	ordered := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			ordered = append(ordered, first[i])
		}
		if i < len(second) {
			ordered = append(ordered, second[i])
		}
	}
	return ordered[:min(len(ordered), maxAddresses)]
}

// dialed is what became of one address.
type dialed struct {
	conn *conn
	err  *Error
}

// connect returns the first connection to any of addrs. Each address gets a
// head start before the next one is tried beside it. Every goroutine it starts
// has ended when it returns.
func (t *Transport) connect(a *attempt, addrs []netip.Addr, port uint16) (*conn, error) {
	if t.egress.proxy != nil {
		return t.connectByProxy(a, addrs, port)
	}
	a.phase = PhaseConnect
	if len(addrs) == 1 {
		d := t.connectTo(a, a, netip.AddrPortFrom(addrs[0], port))
		return d.result()
	}

	ctx, cancel := context.WithCancel(a)
	defer cancel()
	results := make(chan dialed, len(addrs))
	running := 0
	startNext := func() {
		if len(addrs) == 0 {
			return
		}
		target := netip.AddrPortFrom(addrs[0], port)
		addrs = addrs[1:]
		running++
		go func() { results <- t.connectTo(ctx, a, target) }()
	}

	startNext()
	lead := time.NewTicker(headStart)
	defer lead.Stop()
	var best dialed
	for running > 0 {
		select {
		case <-lead.C:
			startNext()
		case d := <-results:
			running--
			switch {
			case d.conn == nil:
				best = best.orMoreTelling(d)
				if best.conn == nil {
					startNext()
				}
			case best.conn == nil:
				best = d
				addrs = nil
				cancel()
			default:
				_ = d.conn.Close() // the slower one
			}
		}
	}
	return best.result()
}

// connectTo dials one address. It recovers, because it may be all that a
// goroutine does.
func (t *Transport) connectTo(ctx context.Context, a *attempt, target netip.AddrPort) (d dialed) {
	defer func() {
		if p := recover(); p != nil {
			d = dialed{err: panicError(p)}
		}
	}()
	f := t.family6
	if target.Addr().Is4() {
		f = t.family4
	}
	if f.dialer == nil {
		return dialed{err: a.noFamily()}
	}
	internal := checkRange(publicOnly, target.Addr()) != nil
	if internal {
		a.internal.Store(true)
	}
	tcp, err := f.dialer.DialContext(ctx, f.network, target.String())
	if err != nil {
		if f.dialer.LocalAddr == nil && isUnroutable(err) && !t.egress.guard.machine.sends(target.Addr().Is4()) {
			return dialed{err: a.noFamily()}
		}
		return dialed{err: a.connectError(err, internal)}
	}
	c := newConn(tcp, target.Addr().String(), internal)
	if local, err := netip.ParseAddrPort(tcp.LocalAddr().String()); err == nil {
		c.source = local.Addr().Unmap().String()
	}
	return dialed{conn: c}
}

func (d dialed) result() (*conn, error) {
	if d.conn == nil {
		return nil, d.err // a typed nil would not be nil
	}
	return d.conn, nil
}

// orMoreTelling returns the result to report of two, of which other failed.
func (d dialed) orMoreTelling(other dialed) dialed {
	if d.conn != nil || d.err != nil && d.err.weight() >= other.err.weight() {
		return d
	}
	return other
}

// weight orders the failures of several addresses by how much they say: what
// the receiver did counts more than what was never tried.
func (e *Error) weight() int {
	switch {
	case e.Outcome == webhook.BlockedAddress:
		return 1
	case e.Outcome == webhook.NoAddressFamily:
		return 2
	case e.GatewayFault:
		return 3
	}
	return 4
}

// handshake speaks TLS over c, which it closes on failure. The certificate
// must be valid for name: what the URL says, not what it resolved to.
func (t *Transport) handshake(a *attempt, c *conn, name string) (*conn, error) {
	a.phase = PhaseTLS
	cfg := t.tls.Clone()
	cfg.ServerName = name
	secure := tls.Client(c.plain, cfg)
	if err := secure.HandshakeContext(a); err != nil {
		_ = c.Close() // it is of no use any more
		return nil, a.tlsError(err, c)
	}
	c.Conn = secure
	return c, nil
}

func panicError(p any) *Error {
	return &Error{
		Outcome: webhook.Panicked,
		Text:    "the gateway failed while sending",
		cause:   fmt.Errorf("panic: %v", p),
	}
}
