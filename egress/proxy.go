package egress

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// maxProxyHeaders bounds a proxy's answer to CONNECT, in bytes.
const maxProxyHeaders = 16 << 10

// proxy asks an HTTP proxy for tunnels.
type proxy struct {
	address string // host:port
	auth    string // the value of Proxy-Authorization; may be empty
	dialer  *net.Dialer
}

func newProxy(u *url.URL, names *resolver) *proxy {
	port, _ := portOf(u) // validated
	p := &proxy{
		address: net.JoinHostPort(u.Hostname(), strconv.Itoa(int(port))),
		dialer:  &net.Dialer{Timeout: dialTimeout, Resolver: names.net},
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p
}

// errProxy means that the proxy is not there or not for us: the operator's
// concern, not the receiver's.
var errProxy = errors.New("the proxy does not serve us")

// connectByProxy returns a tunnel to the first of addrs that the guard lets
// through and the proxy reaches. The proxy is given addresses only, so it
// cannot resolve a name to another one.
func (t *Transport) connectByProxy(a *attempt, addrs []netip.Addr, port uint16) (*conn, error) {
	var best dialed
	for _, addr := range addrs {
		d := t.tunnelTo(a, netip.AddrPortFrom(addr, port))
		if d.conn != nil {
			return d.conn, nil
		}
		best = best.orMoreTelling(d)
		if d.err.GatewayFault || a.Err() != nil {
			break
		}
	}
	return best.result()
}

func (t *Transport) tunnelTo(a *attempt, target netip.AddrPort) dialed {
	internal := checkRange(publicOnly, target.Addr()) != nil
	if internal {
		a.internal.Store(true)
	}
	if err := t.egress.guard.check(t.rules, target); err != nil {
		return dialed{err: a.connectError(err, internal)}
	}
	p := t.egress.proxy
	a.phase = PhaseProxy
	plain, err := p.dialer.DialContext(a, "tcp", p.address)
	if err != nil {
		return dialed{err: a.proxyError(fmt.Errorf("%w: connect: %w", errProxy, err))}
	}
	a.phase = PhaseTunnel
	if err := p.ask(a, plain, target); err != nil {
		_ = plain.Close() // it is of no use any more
		return dialed{err: a.proxyError(err)}
	}
	return dialed{conn: newConn(plain, target.Addr().String(), internal)}
}

// ask makes conn a tunnel to target. The error wraps errProxy if the proxy, not
// the receiver, is at fault. It never holds what the proxy said.
func (p *proxy) ask(ctx context.Context, conn net.Conn, target netip.AddrPort) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request := "CONNECT " + target.String() + " HTTP/1.1\r\nHost: " + target.String() + "\r\n"
	if p.auth != "" {
		request += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return fmt.Errorf("%w: ask for tunnel: %w", errProxy, err)
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyHeaders}
	reader := bufio.NewReader(limited)
	resp, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("%w: no answer to CONNECT", errProxy)
	}
	early := reader.Buffered() > 0
	limited.N = 0         // nothing is waited for: a tunnel has no body, and that of a refusal says nothing
	_ = resp.Body.Close() // reads to the end of what it thinks it is
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: it refuses the configured credentials (407)", errProxy)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("proxy answered CONNECT with %d", resp.StatusCode)
	case early:
		return fmt.Errorf("%w: data before the tunnel was used", errProxy)
	}
	if !stop() {
		return context.Cause(ctx) // the deadline is set already
	}
	return nil
}
