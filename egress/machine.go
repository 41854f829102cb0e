package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// addrsFresh is how long the list of this machine's addresses is believed.
// Ports are listed each time: a listener opens far more often than an interface
// gets an address.
const addrsFresh = time.Second

// machine knows what is this machine's own.
type machine struct {
	ports portList

	refresh sync.Mutex // held while the addresses are read anew
	addrs   atomic.Pointer[ownAddrs]
}

type ownAddrs struct {
	readAt time.Time
	single map[netip.Addr]struct{}

	// ranges are the prefixes of loopback interfaces: all of such a prefix is
	// local, not just the address it was given with.
	ranges []netip.Prefix
}

func newMachine(ownPorts func() ([]uint16, error)) *machine {
	if ownPorts == nil {
		ownPorts = ListeningPorts
	}
	return &machine{ports: portList{list: ownPorts}}
}

// check refuses an address of this machine that no range names: what goes to its
// public addresses never leaves it, so it passes every firewall before it, and its
// services take it for one of their own. Of a named one it refuses the ports that
// this very process listens on: Caddy's admin API needs no password, and a webhook
// to its /stop would be a kill switch.
func (m *machine) check(addr netip.Addr, port uint16, named bool) error {
	local, err := m.has(addr)
	if err != nil {
		return fmt.Errorf("%w: addresses: %w", errMachineUnknown, err)
	}
	switch {
	case !local:
		return nil
	case !named:
		return blockedf("an address of this machine")
	}
	ports, err := m.ports.now()
	if err != nil {
		return fmt.Errorf("%w: ports: %w", errMachineUnknown, err)
	}
	if slices.Contains(ports, port) {
		return blockedf("a port of this process")
	}
	return nil
}

// has reports whether a connection to addr ends at this machine.
func (m *machine) has(addr netip.Addr) (bool, error) {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true, nil
	}
	own, err := m.current()
	if err != nil {
		return false, err
	}
	if _, ok := own.single[addr]; ok {
		return true, nil
	}
	for _, r := range own.ranges {
		if r.Contains(addr) {
			return true, nil
		}
	}
	return false, nil
}

// sends reports whether this machine has an address to send from in IPv4 or
// IPv6. If in doubt, it has.
func (m *machine) sends(ipv4 bool) bool {
	own, err := m.current()
	if err != nil {
		return true
	}
	for addr := range own.single {
		if addr.Is4() == ipv4 && addr.IsGlobalUnicast() {
			return true
		}
	}
	return false
}

func (m *machine) current() (*ownAddrs, error) {
	if own := m.addrs.Load(); own != nil && time.Since(own.readAt) < addrsFresh {
		return own, nil
	}
	m.refresh.Lock()
	defer m.refresh.Unlock()
	if own := m.addrs.Load(); own != nil && time.Since(own.readAt) < addrsFresh {
		return own, nil
	}
	own, err := readOwnAddrs()
	if err != nil {
		return nil, err
	}
	m.addrs.Store(own)
	return own, nil
}

func readOwnAddrs() (*ownAddrs, error) {
	own := &ownAddrs{readAt: time.Now(), single: make(map[netip.Addr]struct{})}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, iface := range interfaces {
		addrs, err := iface.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			own.add(a, iface.Flags&net.FlagLoopback != 0)
		}
	}
	return own, nil
}

func (o *ownAddrs) add(a net.Addr, loopback bool) {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPNet:
		ip = a.IP
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && loopback {
			o.ranges = append(o.ranges, prefix.Masked())
		}
	case *net.IPAddr:
		ip = a.IP
	}
	if addr, ok := netip.AddrFromSlice(ip); ok {
		o.single[addr.Unmap()] = struct{}{}
	}
}
