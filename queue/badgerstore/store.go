package badgerstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Store is a queue.Store in a directory. Open makes one.
type Store struct {
	opts Options
	log  *zap.Logger
	db   *badger.DB

	// life is held for reading by every call and for writing by Close, because
	// closing Badger under a transaction kills the process.
	life    sync.RWMutex
	closed  atomic.Bool
	closing chan struct{}         // closed when Close is called
	broken  atomic.Pointer[error] // why the store is unavailable

	inbox     inbox
	waiting   allowance // of publications
	waiters   sync.Pool // of *waiter
	buffers   buffers
	committed atomic.Pointer[committed]
	recorded  broadcast // sent when deliveries got their records
	running   sync.WaitGroup
	stopAll   chan struct{} // ends the committer and the keeper
	commits   chan struct{} // ends the committer

	maxEntries int   // of a pack
	maxBytes   int64 // of a pack

	lanesMu sync.RWMutex
	lanes   map[string]*lane
	numbers map[uint32]*lane
	next    uint32        // number of the next new lane
	drops   atomic.Uint64 // changes when lanes are dropped, and again when none can be looked up

	journal journal
	backlog atomic.Int64 // pending deliveries
	tokens  atomic.Uint64
	clock   clock
	watcher atomic.Pointer[func(string, time.Time)]

	flight   flights
	contexts contextCache
	events   eventCache

	retiring retiring
	space    space
	keeper   keeper
	lost     uint64
	scan     int          // scanPerPage
	heavier  atomic.Int64 // requests that wrote more than their weight; none should
	unknown  bool         // when it was opened there were deliveries that nobody knows of

	// Owned by the committer.
	pack pack
	meta meta
	news []news
}

var (
	_ queue.Store    = (*Store)(nil)
	_ queue.Backuper = (*Store)(nil)
)

// enter begins a call. Unless it fails, s.life.RUnlock ends the call.
func (s *Store) enter() error {
	if s.closed.Load() {
		return queue.ErrClosed
	}
	s.life.RLock()
	if s.closed.Load() {
		s.life.RUnlock()
		return queue.ErrClosed
	}
	if err := s.failure(); err != nil {
		s.life.RUnlock()
		return err
	}
	return nil
}

// fail makes the store unavailable for good. The first cause stays.
func (s *Store) fail(cause error) {
	err := fmt.Errorf("%w: %w", queue.ErrUnavailable, cause)
	if s.broken.CompareAndSwap(nil, &err) {
		s.log.Error("store failed and is unavailable until it is opened again", zap.Error(cause))
	}
}

// panicked is fail after a panic.
func (s *Store) panicked(who string, p any) {
	s.fail(fmt.Errorf("%s panicked: %v", who, p))
	s.log.Error(who+" panicked", zap.Any("panic", p), zap.Stack("stack"))
}

// failure returns why the store is unavailable, or nil.
func (s *Store) failure() error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// expect returns a waiter for n requests.
func (s *Store) expect(n int) *waiter {
	w, _ := s.waiters.Get().(*waiter)
	if w == nil {
		w = &waiter{ch: make(chan error, 1)}
	}
	w.open, w.err = n, nil
	return w
}

// wait returns when all requests of w are done, or when ctx ends.
func (s *Store) wait(ctx context.Context, w *waiter) error {
	select {
	case err := <-w.ch:
		s.waiters.Put(w)
		return err
	case <-ctx.Done():
		return ctx.Err() // w stays with its requests
	}
}

// write hands one request to the committer and waits for it. The request's
// done must call w.finish.
func (s *Store) write(ctx context.Context, r request, w *waiter) error {
	if err := s.inbox.put(r, false); err != nil {
		return err
	}
	return s.wait(ctx, w)
}

// A news item tells the watcher of a delivery that has become claimable.
type news struct {
	webhookID string
	due       time.Time
}

// tell passes the news to the watcher.
func (s *Store) tell() {
	if fn := s.watcher.Load(); fn != nil && *fn != nil {
		for _, n := range s.news {
			(*fn)(n.webhookID, n.due)
		}
	}
	clear(s.news)
	s.news = s.news[:0]
}

// Watch implements queue.Store.
func (s *Store) Watch(fn func(webhookID string, due time.Time)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	s.watcher.Store(&fn)
	if fn == nil {
		return nil
	}
	now := time.Now()
	for _, l := range s.allLanes() {
		l.mu.Lock()
		due := l.next(now)
		l.mu.Unlock()
		if !due.IsZero() {
			fn(l.id, due)
		}
	}
	return nil
}

// Backlog implements queue.Store.
func (s *Store) Backlog(webhookID string) int {
	if webhookID == "" {
		return int(s.backlog.Load())
	}
	l := s.lane(webhookID)
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backlog
}

// Stats implements queue.Store.
func (s *Store) Stats() queue.Stats {
	st := queue.Stats{
		Deliveries: make(map[webhook.Status]int64, len(webhook.Statuses)),
		FreeBytes:  s.space.free(),
		Lost:       s.lost,
		Err:        s.failure(),
	}
	st.Full = s.space.tooFullTo(publish)
	if last := s.keeper.scrub.last.Load(); last != nil {
		st.CheckedAt, st.Damaged = last.at, last.damaged
	}
	c := s.committed.Load()
	for _, status := range webhook.Statuses {
		st.Deliveries[status] = c.counts[statusByte(status)]
	}
	now := time.Now()
	for _, l := range s.allLanes() {
		l.mu.Lock()
		due := l.next(now)
		l.mu.Unlock()
		if !due.IsZero() && (st.OldestDue.IsZero() || due.Before(st.OldestDue)) {
			st.OldestDue = due
		}
	}
	return st
}

// Close implements queue.Store.
func (s *Store) Close() error {
	first := s.closed.CompareAndSwap(false, true)
	if first {
		close(s.closing)
	}
	s.life.Lock()
	defer s.life.Unlock()
	if !first {
		return nil
	}
	return s.shutdown()
}

// lane returns a webhook's lane, or nil if the store has never seen it.
func (s *Store) lane(webhookID string) *lane {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return s.lanes[webhookID]
}

// laneOf returns the lane of a webhook's number, or nil.
func (s *Store) laneOf(number uint32) *lane {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	return s.numbers[number]
}

func (s *Store) allLanes() []*lane {
	s.lanesMu.RLock()
	defer s.lanesMu.RUnlock()
	all := make([]*lane, 0, len(s.lanes))
	for _, l := range s.lanes {
		all = append(all, l)
	}
	return all
}

// An allowance bounds the bytes of what waits.
type allowance struct{ used atomic.Int64 }

// take takes n bytes, unless that makes more than limit and some are taken.
func (a *allowance) take(n, limit int64) bool {
	for {
		used := a.used.Load()
		if used > 0 && used+n > limit {
			return false
		}
		if a.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (a *allowance) giveBack(n int64) { a.used.Add(-n) }

// buffers recycles what event records are encoded into: Badger has copied them
// when a commit returns.
type buffers struct{ pool sync.Pool }

// maxBuffer is the size of the largest buffer that is kept.
const maxBuffer = 16 << 10

func (bs *buffers) get() []byte {
	if b, ok := bs.pool.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

func (bs *buffers) put(b []byte) {
	if cap(b) > 0 && cap(b) <= maxBuffer {
		bs.pool.Put(&b)
	}
}

// A broadcast wakes all that wait for something to change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed at the next change.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
