package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// neverOpen are the ranges that no Allow opens: what hands out credentials to
// whoever asks from the right machine.
var neverOpen = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local: metadata of AWS, GCP, Azure, DigitalOcean and others
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's WireServer
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle's metadata
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS: metadata at ::254, credentials of pods at ::23
	netip.MustParsePrefix("fd20:ce::254/128"),   // GCP's metadata
	netip.MustParsePrefix("fd00:42::42/128"),    // Scaleway's metadata
	netip.MustParsePrefix("0.0.0.0/32"),         // another spelling of loopback
	netip.MustParsePrefix("::/128"),
}

// embeddings are the IPv6 ranges whose last 32 bits, or those from byte at,
// are an IPv4 address that a translator may deliver to.
var embeddings = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64 (RFC 6052)
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 for local use (RFC 8215)
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // SIIT (RFC 2765)
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible (RFC 4291)
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4 (RFC 3056)
}

// guard decides which addresses may be dialled.
type guard struct {
	machine *machine
}

// rules are what one set of Allow entries opens.
type rules struct {
	guardian *ssrf.Guardian
	allowed  []netip.Prefix
}

func newRules(allowed []netip.Prefix) *rules {
	var v4, v6 []netip.Prefix
	for _, prefix := range allowed {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	return &rules{
		guardian: ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)),
		allowed:  allowed,
	}
}

// any says whether something is opened at all.
func (r *rules) any() bool { return len(r.allowed) > 0 }

// names says whether addr is in a range that was opened by name, not just public.
func (r *rules) names(addr netip.Addr) bool {
	return slices.ContainsFunc(r.allowed, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// publicOnly are the rules that open nothing.
var publicOnly = newRules(nil)

// blockedError says why the guard refused. It is for the operator: it tells an
// attacker which rule to go round.
type blockedError struct {
	reason string
}

func (e *blockedError) Error() string { return "address refused: " + e.reason }

// errMachineUnknown means that this machine could not tell what is its own, for
// want of descriptors for example. Nothing is dialled then.
var errMachineUnknown = errors.New("own addresses and ports are unknown")

func blockedf(format string, args ...any) error {
	return &blockedError{reason: fmt.Sprintf(format, args...)}
}

// control is net.Dialer.ControlContext without its context: it runs between
// socket() and connect() and sees the address that is dialled, whatever a name
// resolved to before.
func (g *guard) control(r *rules, network, address string) error {
	if network != "tcp4" && network != "tcp6" {
		return blockedf("network %q", network)
	}
	addrPort, err := netip.ParseAddrPort(address)
	if err != nil {
		return blockedf("unreadable address")
	}
	return g.check(r, addrPort)
}

// check returns nil if the address may be dialled under r. The error wraps a
// blockedError or errMachineUnknown.
func (g *guard) check(r *rules, addrPort netip.AddrPort) error {
	addr := addrPort.Addr()
	if !addr.IsValid() || addr.Zone() != "" || addrPort.Port() == 0 {
		return blockedf("not a plain address and port")
	}
	addr = addr.Unmap()
	if err := checkRange(r, addr); err != nil {
		return err
	}
	// Last, because it costs system calls: only what the ranges let through can
	// be refused here.
	named := r.names(addr)
	if inner, ok := embedded(addr); ok {
		addr = inner
		named = named || r.names(addr)
	}
	return g.machine.check(addr, addrPort.Port(), named)
}

func checkRange(r *rules, addr netip.Addr) error {
	for _, prefix := range neverOpen {
		if prefix.Contains(addr) {
			return blockedf("%s can not be opened", prefix)
		}
	}
	if err := r.guardian.SafeAddr(addr); err != nil {
		return &blockedError{reason: err.Error()}
	}
	if inner, ok := embedded(addr); ok {
		if err := checkRange(r, inner); err != nil {
			return fmt.Errorf("embedded in IPv6: %w", err)
		}
	}
	return nil
}

// embedded returns the IPv4 address that addr stands for, if it is one of a
// translator's.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() || addr.IsLoopback() {
		return netip.Addr{}, false
	}
	for _, e := range embeddings {
		if e.prefix.Contains(addr) {
			b := addr.As16()
			return netip.AddrFrom4([4]byte(b[e.at : e.at+4])), true
		}
	}
	return netip.Addr{}, false
}

// dialHook returns the ControlContext of a dialer that is held to r.
func (g *guard) dialHook(r *rules, bound bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, raw syscall.RawConn) error {
		if err := g.control(r, network, address); err != nil {
			return err
		}
		if bound {
			bindWithoutPort(raw)
		}
		return nil
	}
}

// isBlocked reports whether the guard refused.
func isBlocked(err error) bool {
	_, ok := errors.AsType[*blockedError](err)
	return ok
}
