package egress

import (
	"sync"
	"time"
)

const (
	// idleTimeout is how long a connection is kept. Node closes idle ones
	// after 5 s.
	idleTimeout = 4 * time.Second

	// sweepAtMost is how often kept connections are looked through: a busy pool
	// has one that is too old at any moment.
	sweepAtMost = 250 * time.Millisecond

	// maxIdle bounds the connections that a pool keeps to all receivers.
	maxIdle = 4096
)

// endpoint is what connections are kept for: a scheme and a host with its port,
// as URLs have it.
type endpoint struct {
	secure bool
	host   string
}

// pool keeps connections between requests. Nobody reads from a kept connection,
// so it costs no goroutine; it is looked at when it is taken again. A pool is
// safe for concurrent use.
type pool struct {
	perEndpoint int

	mu     sync.Mutex
	kept   map[endpoint][]*conn // the longest idle first
	count  int
	sweeps *time.Timer // nil: none is due
	closed bool
}

// take returns a connection to an endpoint that can be used, the one that was
// used last, or nil.
func (p *pool) take(to endpoint) *conn {
	for {
		c := p.pop(to)
		if c == nil || c.silent() {
			return c
		}
		_ = c.Close() // there is nothing left to lose
	}
}

// pop leaves connections that are too old to the next sweep.
func (p *pool) pop(to endpoint) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.kept[to]
	last := len(conns) - 1
	if last < 0 || time.Since(conns[last].idleSince) >= idleTimeout {
		return nil
	}
	c := conns[last]
	conns[last] = nil
	p.kept[to] = conns[:last]
	p.count--
	return c
}

// put keeps a connection on which a response is complete, or closes it.
func (p *pool) put(to endpoint, c *conn) {
	if !p.push(to, c) {
		_ = c.Close() // there is nothing left to lose
	}
}

func (p *pool) push(to endpoint, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.count >= maxIdle || len(p.kept[to]) >= p.perEndpoint {
		return false
	}
	if p.kept == nil {
		p.kept = make(map[endpoint][]*conn)
	}
	c.idleSince = time.Now()
	p.kept[to] = append(p.kept[to], c)
	p.count++
	if p.sweeps == nil {
		p.sweeps = time.AfterFunc(idleTimeout, p.sweep)
	}
	return true
}

// sweep closes what has been idle for too long.
func (p *pool) sweep() {
	closeAll(p.removeOld(time.Now()))
}

func (p *pool) removeOld(now time.Time) (old []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := now
	for to, conns := range p.kept {
		n := 0
		for n < len(conns) && now.Sub(conns[n].idleSince) >= idleTimeout {
			n++
		}
		old = append(old, conns[:n]...)
		if n == len(conns) {
			delete(p.kept, to)
			continue
		}
		rest := copy(conns, conns[n:])
		clear(conns[rest:])
		p.kept[to] = conns[:rest]
		if conns[0].idleSince.Before(oldest) {
			oldest = conns[0].idleSince
		}
	}
	p.count -= len(old)
	p.sweeps = nil
	if p.count > 0 && !p.closed {
		p.sweeps = time.AfterFunc(max(idleTimeout-now.Sub(oldest), sweepAtMost), p.sweep)
	}
	return old
}

// close closes what is kept. What comes later is not kept any more.
func (p *pool) close() { closeAll(p.removeAll()) }

func (p *pool) removeAll() (all []*conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweeps != nil {
		p.sweeps.Stop()
	}
	for _, conns := range p.kept {
		all = append(all, conns...)
	}
	p.kept, p.count = nil, 0
	return all
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // there is nothing left to lose
	}
}
