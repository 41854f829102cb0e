package egress

import (
	"net/netip"
	"time"
)

// Check asks the guard whether the webhooks of a project may reach an address.
func (e *Egress) Check(projectID string, addrPort netip.AddrPort) error {
	return e.guard.check(e.transportsOf(projectID).rules, addrPort)
}

// Control asks it as a dialer does.
func (e *Egress) Control(projectID, network, address string) error {
	return e.guard.control(e.transportsOf(projectID).rules, network, address)
}

// TakeForOwn makes e believe for an hour that the machine has these addresses and
// no others.
func (e *Egress) TakeForOwn(addrs ...netip.Addr) {
	own := &ownAddrs{readAt: time.Now().Add(time.Hour), single: make(map[netip.Addr]struct{})}
	for _, addr := range addrs {
		own.single[addr] = struct{}{}
	}
	e.guard.machine.addrs.Store(own)
}
