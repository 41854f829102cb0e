package gateway

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
)

// The limit of failed authentication.
const (
	// maxFailures is how many attempts of one address may fail at once. One
	// more may fail after each failureInterval.
	maxFailures     = 60
	failureInterval = time.Second

	// maxClients bounds the memory of an authLimit: about 1 MB.
	maxClients = 10_000

	// maxKnown is how many addresses a key is known from: about 50 KB.
	maxKnown = 1000
)

// authLimit limits failed authentication per client address: an IPv4
// address, or the /64 of an IPv6 address, which is what one client can choose
// from.
//
// An address that is over the limit is refused whatever key it sends, so that
// it cannot go on guessing. Two kinds of clients must not suffer for a
// neighbour behind the same address:
//
//   - A key that has worked from the address before goes on working (knows).
//   - Every program on this host has a loopback address, and behind a Unix
//     socket none has any. There a good key always works, and only the bad ones
//     are limited: who shares the host has better ways in than guessing.
//
// A key of another sort of client, one behind a shared address that is used for
// the first time while a neighbour fails, has to wait.
//
// Nothing of it is durable. Its methods are safe for concurrent use.
type authLimit struct {
	now func() time.Time

	// failing says whether spent has any address: all is well most of the
	// time, and then no lock is taken.
	failing atomic.Bool

	mu sync.Mutex
	// spent holds, by address, when the last of its failures is forgiven. They
	// are forgiven one after the other, each taking a failureInterval, so what
	// lies between now and then counts them.
	spent map[netip.Addr]time.Time
	swept time.Time

	// known holds where a key has worked, by the key's hash: a *clients. Only
	// good keys are in it, so nobody can fill it.
	known sync.Map
}

// newAuthLimit returns a limit that has seen no failure.
func newAuthLimit(now func() time.Time) *authLimit {
	return &authLimit{now: now, spent: make(map[netip.Addr]time.Time)}
}

// allow returns nil if an attempt of the client may fail, else the 429 to show
// to it.
func (l *authLimit) allow(client netip.Addr) error {
	if !l.failing.Load() {
		return nil
	}
	client = clientOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.spent[client].Add(-(maxFailures - 1) * failureInterval).Sub(l.now())
	if wait <= 0 {
		return nil
	}
	return problem.Later(problem.TooManyRequests, "Too many attempts with a wrong API key came from this address.", wait)
}

// failed counts a failed attempt of the client.
func (l *authLimit) failed(client netip.Addr) {
	client = clientOf(client)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.spent[client]
	if !ok && len(l.spent) >= maxClients {
		l.makeRoom(now)
	}
	if until.Before(now) {
		until = now
	}
	l.spent[client] = until.Add(failureInterval)
	l.failing.Store(true)
}

// makeRoom forgets the addresses whose failures are all forgiven, looking for
// them once a second at most, or else any address. The caller holds mu.
func (l *authLimit) makeRoom(now time.Time) {
	if since := now.Sub(l.swept); since < 0 || since >= time.Second {
		l.swept = now
		for client, until := range l.spent {
			if !until.After(now) {
				delete(l.spent, client)
			}
		}
	}
	for client := range l.spent {
		if len(l.spent) < maxClients {
			return
		}
		delete(l.spent, client)
	}
}

// knows says whether the key has worked from the client's address.
func (l *authLimit) knows(client netip.Addr, key *Key) bool {
	c, ok := l.known.Load(key.Hash)
	return ok && c.(*clients).has(clientOf(client))
}

// remember notes that the key works from the client's address.
func (l *authLimit) remember(client netip.Addr, key *Key) {
	c, _ := l.known.LoadOrStore(key.Hash, new(clients))
	c.(*clients).add(clientOf(client))
}

// forget drops what is known of a key that works no more.
func (l *authLimit) forget(key *Key) { l.known.Delete(key.Hash) }

// clients are addresses that a key has worked from.
type clients struct {
	mu    sync.RWMutex
	addrs map[netip.Addr]bool
}

func (c *clients) has(client netip.Addr) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.addrs[client]
}

// add remembers an address. When there are too many any other is forgotten.
func (c *clients) add(client netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addrs == nil {
		c.addrs = make(map[netip.Addr]bool)
	}
	if len(c.addrs) >= maxKnown {
		for other := range c.addrs {
			delete(c.addrs, other)
			break
		}
	}
	c.addrs[client] = true
}

// clientOf returns the address that stands for a client: for IPv6 the first of
// its /64.
func clientOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, _ := addr.Prefix(64) // valid for every IPv6 address
	return prefix.Addr()
}

// shared says whether all programs of this host have the address.
func shared(addr netip.Addr) bool { return !addr.IsValid() || addr.Unmap().IsLoopback() }
