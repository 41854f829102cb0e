package badgerstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/webhook"
)

// retiring names the events that are being removed, so that ClaimOne leaves
// them alone. floor remembers where the oldest event was found, so that the
// tombstones before it are not passed again.
type retiring struct {
	call sync.Mutex // one Retire at a time

	mu     sync.RWMutex
	events map[eventKey]bool
	floor  eventKey // owned by call
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
	s.retiring.call.Lock()
	defer s.retiring.call.Unlock()
	defer s.retiring.end()

	keys, more, err := s.retirable(before, max(limit, 1))
	if err != nil {
		return 0, false, fmt.Errorf("retire events before %s: %w", before.Format(time.RFC3339), err)
	}
	for _, k := range keys {
		if err := s.retireEvent(ctx, k); err != nil {
			return retired, true, fmt.Errorf("retire events before %s: %w", before.Format(time.RFC3339), err)
		}
		retired++
	}
	return retired, more, nil
}

// retirable returns the oldest events whose deliveries have all ended, and
// whether there is another one.
func (s *Store) retirable(before time.Time, limit int) (keys []eventKey, more bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over([]byte{prefixEvent}))
		defer it.Close()
		r := &s.retiring
		first := true
		for it.Seek(keyOfEvent(r.floor)); it.Valid(); it.Next() {
			k := eventKey(it.Item().Key()[1:])
			if first {
				r.floor, first = k, false
			}
			if !k.time().Before(before) {
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
				more = true
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
	s.journal.mu.Lock()
	live := s.journal.find(k) != nil
	s.journal.mu.Unlock()
	if live {
		return false, nil
	}
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

// deletionsPerPack is how many entries of a retired event go in one step.
const deletionsPerPack = 1000

// retireEvent removes an event: its deliveries first, in steps, and itself
// last, so that an interrupted removal is taken up again.
func (s *Store) retireEvent(ctx context.Context, k eventKey) error {
	step := &removalOfEvent{}
	err := s.db.View(func(txn *badger.Txn) error {
		key := keyOfEvent(k)
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		value, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		var failed error
		_ = eachTarget(value, key, func(t storedTarget) bool { // of a damaged record nothing is found
			step.addDelivery(txn, t.number, k.delivery(t.ordinal))
			if len(step.keys) >= deletionsPerPack {
				failed = s.remove(ctx, step)
				step = &removalOfEvent{}
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		if ev, err := decodeEvent(value, key); err == nil {
			step.keys = append(step.keys, keyOfID(ev.event.ID, ev.event.ProjectID), append(projectLead(ev.event.ProjectID), k[:]...))
		}
		step.keys = append(step.keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	return s.remove(ctx, step)
}

func (s *Store) remove(ctx context.Context, r *removalOfEvent) error {
	r.waiter = s.expect(1)
	return s.write(ctx, r, r.waiter)
}

// A removalOfEvent is the request that removes entries of an event.
type removalOfEvent struct {
	keys   [][]byte
	counts counts // of the deliveries among them
	waiter *waiter
}

// addDelivery adds a delivery with its attempts.
func (r *removalOfEvent) addDelivery(txn *badger.Txn, number uint32, k deliveryKey) {
	item, err := txn.Get(keyOfDelivery(number, k))
	if err != nil {
		return // removed before
	}
	status := webhook.Corrupt
	_ = item.Value(func(v []byte) error { status = peekStatus(v); return nil })

	it := txn.NewIterator(over(attemptLead(k)))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		r.keys = append(r.keys, it.Item().KeyCopy(nil))
	}
	r.keys = append(r.keys, keyOfDelivery(number, k))
	if status != webhook.Delivered {
		r.keys = append(r.keys, keyOfStatus(number, status, k))
	}
	r.counts.add(status, 1)
}

func (r *removalOfEvent) weight() (int, int64) {
	bytes := 0
	for _, key := range r.keys {
		bytes += len(key)
	}
	return len(r.keys), int64(bytes)
}

func (r *removalOfEvent) write(p *pack) error {
	for _, key := range r.keys {
		p.delete(key)
	}
	for i, n := range r.counts {
		p.meta.counts[i] -= n
	}
	return nil
}

func (r *removalOfEvent) apply(*pack)    {}
func (r *removalOfEvent) done(err error) { r.waiter.finish(err) }
