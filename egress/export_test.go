package egress

import "net/netip"

// Check asks the guard whether the webhooks of a project may reach an address.
func (e *Egress) Check(projectID string, addrPort netip.AddrPort) error {
	return e.guard.check(e.transportsOf(projectID).rules, addrPort)
}

// Control asks it as a dialer does.
func (e *Egress) Control(projectID, network, address string) error {
	return e.guard.control(e.transportsOf(projectID).rules, network, address)
}
