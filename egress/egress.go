package egress

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"sync/atomic"
)

// Egress sends attempts. Its methods are safe for concurrent use.
//
// Connections are shared by webhooks that leave from the same addresses and
// are held to the same rules, never by others: a project cannot use a
// connection that only another may open.
type Egress struct {
	cfg   Config
	guard *guard
	names *resolver
	proxy *proxy // nil: direct

	sources4, sources6 []netip.Addr

	// open holds the transports of projects that no Allow names, byProject
	// those of the others. Projects with equal rules share one set.
	open      *transports
	byProject map[string]*transports

	closed atomic.Bool
}

// transports are those of one rule set: one for each pair of an IPv4 and an
// IPv6 source, made when it is first needed.
type transports struct {
	rules *rules
	pairs []atomic.Pointer[Transport]
}

// New checks cfg and returns the way out that it describes. The error names
// everything that is wrong, for example a source address that this machine
// does not have. New opens no connection and starts no goroutine.
func New(cfg Config) (*Egress, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("open egress: %w", err)
	}
	e := &Egress{
		cfg:   cfg,
		guard: &guard{machine: newMachine(cfg.OwnPorts)},
		names: newResolver(cfg.Resolver),
	}
	if cfg.Proxy != nil {
		e.proxy = newProxy(cfg.Proxy, e.names)
	}
	for _, source := range cfg.Sources {
		if source.Is4() {
			e.sources4 = append(e.sources4, source)
		} else {
			e.sources6 = append(e.sources6, source)
		}
	}
	e.indexRules()
	return e, nil
}

// indexRules makes one set of transports for each distinct set of rules.
func (e *Egress) indexRules() {
	sets := make(map[string]*transports)
	setOf := func(projectID string) *transports {
		var applying []netip.Prefix
		key := make([]byte, 0, len(e.cfg.Allow))
		for _, allow := range e.cfg.Allow {
			if !allow.appliesTo(projectID) {
				key = append(key, '-')
				continue
			}
			key = append(key, '+')
			applying = append(applying, allow.Prefix.Masked())
		}
		set := sets[string(key)]
		if set == nil {
			n := max(len(e.sources4), 1) * max(len(e.sources6), 1)
			set = &transports{rules: newRules(applying), pairs: make([]atomic.Pointer[Transport], n)}
			sets[string(key)] = set
		}
		return set
	}

	e.open = setOf("")
	e.byProject = make(map[string]*transports)
	for _, allow := range e.cfg.Allow {
		for _, projectID := range allow.Projects {
			e.byProject[projectID] = setOf(projectID)
		}
	}
}

func (e *Egress) transportsOf(projectID string) *transports {
	if set, ok := e.byProject[projectID]; ok {
		return set
	}
	return e.open
}

// Transport returns what sends the attempts of a webhook: the one that is held
// to the project's rules and bound to the webhook's source addresses. The same
// webhook gets the same addresses for as long as Sources stays the same. It is
// cheap enough to be called for each attempt.
func (e *Egress) Transport(projectID, webhookID string) *Transport {
	set := e.transportsOf(projectID)
	i4, i6 := pick(webhookID, len(e.sources4)), pick(webhookID, len(e.sources6))
	slot := &set.pairs[i4*max(len(e.sources6), 1)+i6]
	if t := slot.Load(); t != nil {
		return t
	}
	slot.CompareAndSwap(nil, newTransport(e, set.rules, at(e.sources4, i4), at(e.sources6, i6)))
	return slot.Load()
}

// pick maps a webhook to one of n, the same in every process.
func pick(webhookID string, n int) int {
	if n < 2 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(webhookID)) // a hash does not fail
	return int(h.Sum64() % uint64(n))
}

// at returns sources[i], or the zero address if there are none.
func at(sources []netip.Addr, i int) netip.Addr {
	if len(sources) == 0 {
		return netip.Addr{}
	}
	return sources[i]
}

// AdvertisedIPs returns the addresses that receivers are told to expect, in
// the configured order. Never nil.
func (e *Egress) AdvertisedIPs() []string {
	ips := make([]string, 0, len(e.cfg.Advertise))
	for _, addr := range e.cfg.Advertise {
		ips = append(ips, addr.String())
	}
	return ips
}

// Close closes idle connections. Attempts in flight may finish, and later ones
// still work, but keep no connection. Close may be called more than once.
func (e *Egress) Close() {
	e.closed.Store(true)
	e.open.closeIdle()
	for _, set := range e.byProject {
		set.closeIdle()
	}
}

func (s *transports) closeIdle() {
	for i := range s.pairs {
		if t := s.pairs[i].Load(); t != nil {
			t.pool.close()
		}
	}
}
