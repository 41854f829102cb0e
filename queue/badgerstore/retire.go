package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// retiring names the events that are being removed, so that ClaimOne leaves
// them alone.
type retiring struct {
	call sync.Mutex // one Retire at a time

	mu     sync.RWMutex
	events map[eventKey]bool

	// Owned by call. The oldest event was found at floor: the tombstones before
	// it are not passed again. A call with the same time as the one before, if
	// that left something, goes on at resume.
	floor  eventKey
	resume eventKey
	before time.Time

	bytes atomic.Int64 // of removed events, since Badger last tidied up
}

func (r *retiring) includes(k eventKey) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.events[k]
}

func (r *retiring) begin(k eventKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = make(map[eventKey]bool)
	}
	r.events[k] = true
}

func (r *retiring) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.events)
}

// Retire implements queue.Store. An event counts as received at the time of
// its key (createdAt).
func (s *Store) Retire(ctx context.Context, before time.Time, limit int) (retired int, more bool, err error) {
	if err := s.enter(); err != nil {
		return 0, false, err
	}
	defer s.life.RUnlock()
	if s.space.tooFullTo(retire) {
		return 0, false, queue.ErrFull
	}
	s.retiring.call.Lock()
	defer s.retiring.call.Unlock()
	defer s.retiring.end()

	// An event is removed in steps, after its deliveries. A restart in between
	// would take it for one whose deliveries were never made, if it came after
	// the low-water mark.
	if err := s.putOffBefore(ctx, firstKeyAt(before.Add(time.Millisecond))); err != nil {
		return 0, false, fmt.Errorf("retire events before %s: %w", before.Format(time.RFC3339), err)
	}
	keys, more, err := s.retirable(ctx, before, max(limit, 1))
	if err != nil {
		return 0, false, fmt.Errorf("retire events before %s: %w", before.Format(time.RFC3339), err)
	}
	numbers := make(map[uint32]bool)
	if retired, err = s.removeEvents(ctx, keys, before, numbers); err != nil {
		s.retiring.resume = eventKey{}
		return 0, false, fmt.Errorf("retire events before %s: %w", before.Format(time.RFC3339), err)
	}
	s.forget(ctx, numbers)
	return retired, more, nil
}

// retirable returns the oldest events whose deliveries have all ended, and
// whether there is another one.
func (s *Store) retirable(ctx context.Context, before time.Time, limit int) (keys []eventKey, more bool, err error) {
	r := &s.retiring
	from, first := r.floor, true
	if r.before.Equal(before) && from.less(r.resume) {
		from, first = r.resume, false
	}
	r.before, r.resume = before, eventKey{}
	mark := s.journal.mark()
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over([]byte{prefixEvent}))
		defer it.Close()
		for it.Seek(keyOfEvent(from)); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			k := eventKey(it.Item().Key()[1:])
			if first {
				r.floor, first = k, false
			}
			if !k.time().Before(before) || !k.less(mark) {
				return nil
			}
			r.begin(k)
			ended, err := s.ended(txn, it.Item(), before)
			if err != nil {
				return err
			}
			if !ended {
				r.mu.Lock()
				delete(r.events, k)
				r.mu.Unlock()
				continue
			}
			if len(keys) == limit {
				more, r.resume = true, k
				return nil
			}
			keys = append(keys, k)
		}
		return nil
	})
	return keys, more, err
}

// ended says whether all deliveries of an event have ended.
func (s *Store) ended(txn *badger.Txn, item *badger.Item, before time.Time) (bool, error) {
	key := item.KeyCopy(nil)
	k := eventKey(key[1:])
	ended := true
	err := item.Value(func(v []byte) error {
		if ev, err := decodeEvent(v, key); err == nil && !createdAt(k, ev.event.ReceivedAt).Before(before) {
			ended = false
			return nil
		}
		_ = eachTarget(v, key, func(t storedTarget) bool { // a damaged record has none to wait for
			ended = s.targetEnded(txn, k.delivery(t.ordinal), t.number)
			return ended
		})
		return nil
	})
	return ended, err
}

func (s *Store) targetEnded(txn *badger.Txn, k deliveryKey, number uint32) bool {
	if l := s.laneOf(number); l != nil {
		l.mu.Lock()
		_, held := l.held[k]
		l.mu.Unlock()
		if held {
			return false
		}
	}
	item, err := txn.Get(keyOfDelivery(number, k))
	if err != nil {
		return true // removed before
	}
	status := webhook.Pending
	_ = item.Value(func(v []byte) error { status = peekStatus(v); return nil })
	return status != webhook.Pending
}

// deletionsPerPack is how many entries of retired events go in one step.
const deletionsPerPack = 1000

// removeEvents removes events in steps, each one after its deliveries, so that
// an interrupted removal is taken up again. It adds the webhooks' numbers.
//
// It looks again whether the deliveries have ended: one may have been made
// pending before retiring named its event, and after what retirable reads. Its
// claim is not held any more then, so it is seen in what is read from now on.
func (s *Store) removeEvents(ctx context.Context, keys []eventKey, before time.Time, numbers map[uint32]bool) (removed int, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		r := remover{ctx: ctx, store: s, txn: txn, step: &removalStep{}, numbers: numbers}
		for _, k := range keys {
			item, err := txn.Get(keyOfEvent(k))
			if err != nil {
				return err
			}
			ended, err := s.ended(txn, item, before)
			if err != nil {
				return err
			}
			if !ended {
				continue
			}
			if err := r.event(k, item); err != nil {
				return err
			}
			removed++
		}
		return r.flush()
	})
	return removed, err
}

// A remover collects what is to be removed and hands it to the committer.
type remover struct {
	ctx   context.Context
	store *Store
	txn   *badger.Txn
	step  *removalStep

	numbers map[uint32]bool // of the webhooks
}

func (r *remover) event(k eventKey, item *badger.Item) error {
	key := keyOfEvent(k)
	value, err := item.ValueCopy(nil)
	if err != nil {
		return err
	}
	var whose eventID                                      // as a delivery has it
	_ = eachTarget(value, key, func(t storedTarget) bool { // a damaged record names none
		r.numbers[t.number] = true
		err = r.delivery(&whose, t.number, k.delivery(t.ordinal))
		return err == nil
	})
	if err != nil {
		return err
	}
	ev, err := decodeEvent(value, key)
	if err == nil {
		whose = eventID{project: ev.event.ProjectID, id: ev.event.ID}
	}
	if whose.id != "" {
		r.step.keys = append(r.step.keys, append(projectLead(whose.project), k[:]...))
		if err == nil || r.leadsTo(whose, k) {
			r.step.keys = append(r.step.keys, keyOfID(whose.id, whose.project))
		}
	}
	r.step.keys = append(r.step.keys, key)
	r.store.retiring.bytes.Add(int64(len(value)))
	return r.flushIfFull()
}

// leadsTo says whether an id stands for an event: not if the event is damaged
// and was published anew.
func (r *remover) leadsTo(id eventID, k eventKey) bool {
	item, err := r.txn.Get(keyOfID(id.id, id.project))
	if err != nil {
		return false
	}
	same := false
	_ = item.Value(func(v []byte) error { same = bytes.Equal(v, k[:]); return nil })
	return same
}

// delivery adds a delivery with its attempts, and tells whose event it has.
func (r *remover) delivery(whose *eventID, number uint32, k deliveryKey) error {
	item, err := r.txn.Get(keyOfDelivery(number, k))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil // removed before
	}
	if err != nil {
		return err
	}
	status, attempts := webhook.Corrupt, 0
	_ = item.Value(func(v []byte) error {
		status = peekStatus(v)
		if d, err := decodeDelivery(v, item.Key()); err == nil {
			attempts = d.attempts
			if len(d.last) > 0 {
				attempts--
			}
			*whose = eventID{project: d.projectID, id: d.eventID}
		}
		return nil
	})
	for n := 1; n <= attempts; n++ {
		r.step.keys = append(r.step.keys, keyOfAttempt(k, n))
		if err := r.flushIfFull(); err != nil {
			return err
		}
	}
	r.step.keys = append(r.step.keys, keyOfDelivery(number, k))
	if status != webhook.Delivered {
		r.step.keys = append(r.step.keys, keyOfStatus(number, status, k))
	}
	r.step.counts.add(status, 1)
	return r.flushIfFull()
}

func (r *remover) flushIfFull() error {
	if len(r.step.keys) < deletionsPerPack {
		return nil
	}
	return r.flush()
}

func (r *remover) flush() error {
	step := r.step
	if len(step.keys) == 0 {
		return nil
	}
	r.step = &removalStep{}
	step.waiter = r.store.expect(1)
	return r.store.write(r.ctx, step, step.waiter)
}

// A removalStep is the request that removes entries of events.
type removalStep struct {
	keys   [][]byte
	counts counts // of the deliveries among them
	waiter *waiter
}

func (r *removalStep) weight() (int, int64) {
	bytes := 0
	for _, key := range r.keys {
		bytes += len(key)
	}
	return len(r.keys), int64(bytes)
}

func (r *removalStep) write(p *pack) error {
	for _, key := range r.keys {
		p.delete(key)
	}
	for i, n := range r.counts {
		p.meta.counts[i] -= n
	}
	return nil
}

func (r *removalStep) apply(*pack)    {}
func (r *removalStep) done(err error) { r.waiter.finish(err) }
