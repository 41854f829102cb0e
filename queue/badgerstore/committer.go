package badgerstore

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
)

// An inbox is where requests wait for the committer. Publications wait apart,
// so that they can be held up while outcomes go on.
type inbox struct {
	mu           sync.Mutex
	publications []request
	others       []request
	stopped      error // why there is no committer any more
	wake         chan struct{}
}

func (in *inbox) put(r request, publication bool) error {
	in.mu.Lock()
	if in.stopped != nil {
		in.mu.Unlock()
		return in.stopped
	}
	if publication {
		in.publications = append(in.publications, r)
	} else {
		in.others = append(in.others, r)
	}
	in.mu.Unlock()
	in.signal()
	return nil
}

func (in *inbox) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// backlogs are the requests that the committer has taken but not yet packed.
type backlogs struct {
	publications, others []request
}

// take moves what waits into b.
func (in *inbox) take(b *backlogs) {
	in.mu.Lock()
	b.others = append(b.others, in.others...)
	clear(in.others)
	in.others = in.others[:0]
	b.publications = append(b.publications, in.publications...)
	clear(in.publications)
	in.publications = in.publications[:0]
	in.mu.Unlock()
}

// commitLoop is the committer: it runs until stop is closed and everything
// that was put before is done, or until the store fails.
func (s *Store) commitLoop(stop <-chan struct{}) {
	defer s.running.Done()
	var todo backlogs
	p := &s.pack
	p.store = s
	defer func() {
		if r := recover(); r != nil {
			s.panicked("committer", r)
		}
		s.abandon(p, &todo)
	}()

	stopping, last := false, 0
	for {
		if last > 1 {
			runtime.Gosched() // let those just answered bring their next request
		}
		s.inbox.take(&todo)
		if !s.build(p, &todo) {
			if stopping {
				return
			}
			select {
			case <-s.inbox.wake:
			case <-stop:
				stopping = true
			}
			continue
		}
		last = len(p.requests)
		if err := s.commit(p); err != nil {
			s.fail(err)
			return
		}
	}
}

// build fills p with waiting work, and returns whether there was any.
func (s *Store) build(p *pack, todo *backlogs) bool {
	p.reset(nil)
	j := &s.journal
	held := j.bytes > hardFactor*s.opts.MemoryBytes || j.targets > hardFactor*s.opts.MemoryDeliveries
	if len(todo.others) == 0 && len(j.queue) == 0 && (held || len(todo.publications) == 0) {
		return false
	}
	p.txn = s.db.NewTransaction(true)
	todo.others = s.packAll(p, todo.others)
	if !held {
		todo.publications = s.packAll(p, todo.publications)
	}
	if !s.space.tooFullTo(finish) {
		s.packRecordings(p)
	}
	if len(p.requests) == 0 && len(p.recording) == 0 {
		p.txn.Discard() // all were refused
		return false
	}
	return true
}

// packAll packs requests while they fit and returns the others.
func (s *Store) packAll(p *pack, rs []request) []request {
	for i, r := range rs {
		entries, bytes := r.weight()
		if !p.fits(entries, bytes) {
			if len(p.requests) == 0 {
				r.done(fmt.Errorf("%d entries with %d bytes are too much for one transaction", entries, bytes))
				continue
			}
			n := copy(rs, rs[i:])
			clear(rs[n:])
			return rs[:n]
		}
		entriesBefore, bytesBefore := p.entries, p.bytes
		if err := r.write(p); err != nil {
			r.done(err)
			continue
		}
		if n, size := p.entries-entriesBefore, p.bytes-bytesBefore; n > entries || size > bytes+int64(entries)*entryOverhead {
			s.heavier.Add(1)
		}
		p.requests = append(p.requests, r)
	}
	clear(rs)
	return rs[:0]
}

// commit makes p durable, applies it and answers its requests.
func (s *Store) commit(p *pack) error {
	p.meta.seq++
	p.meta.lowWater = p.meta.lastKey.successor()
	if k, ok := s.journal.lowWater(); ok {
		p.meta.lowWater = k
	} else if s.meta.lastKey != p.meta.lastKey {
		p.meta.lowWater = s.meta.lastKey.successor()
	}
	p.set(metaKey, p.meta.encode())
	if p.err != nil {
		p.txn.Discard()
		return fmt.Errorf("pack %d: %w", p.meta.seq, p.err)
	}
	start := time.Now()
	if err := p.txn.Commit(); err != nil {
		return fmt.Errorf("commit pack %d: %w", p.meta.seq, err)
	}
	if s.opts.OnCommit != nil {
		s.opts.OnCommit(time.Since(start), p.entries)
	}
	s.space.written.Add(2 * p.bytes)
	s.meta = p.meta
	s.committed.Store(&committed{seq: p.meta.seq, counts: p.meta.counts})

	s.contexts.settle(p.contexts)
	s.apply(p)
	s.recorded.send()
	s.tell()
	for i, r := range p.requests {
		p.requests[i] = nil
		r.done(nil)
	}
	p.requests = p.requests[:0]
	return nil
}

// apply takes over into the memory what p has committed.
func (s *Store) apply(p *pack) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	for _, r := range p.requests {
		r.apply(p)
	}
	s.applyRecordings(p)
	s.journal.newest = s.meta.lastKey
}

// committed is what others may see of the last pack.
type committed struct {
	seq    uint64
	counts counts
}

// abandon answers everything that was not committed.
func (s *Store) abandon(p *pack, todo *backlogs) {
	err := s.failure()
	if err == nil {
		err = queue.ErrClosed
	}
	s.inbox.mu.Lock()
	s.inbox.stopped = err
	s.inbox.mu.Unlock()
	s.inbox.take(todo)
	s.recorded.send()
	if s.failure() != nil {
		for _, r := range p.requests {
			if r != nil { // nil was answered
				r.done(err)
			}
		}
	}
	for _, r := range append(todo.others, todo.publications...) {
		r.done(err)
	}
}

// A waiter is how a call waits for its requests. Its methods but wait are for
// the committer.
type waiter struct {
	open int
	err  error
	ch   chan error
}

func (w *waiter) finish(err error) {
	if err != nil && w.err == nil {
		w.err = err
	}
	if w.open--; w.open == 0 {
		w.ch <- w.err
	}
}
