package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Event implements queue.Store.
func (s *Store) Event(_ context.Context, projectID, id string) (webhook.Event, error) {
	if err := s.enter(); err != nil {
		return webhook.Event{}, err
	}
	defer s.life.RUnlock()
	ev, err := s.stored(eventID{project: projectID, id: id})
	if err != nil {
		return webhook.Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	return ev.event, nil
}

// Delivery implements queue.Store.
func (s *Store) Delivery(_ context.Context, deliveryID string) (webhook.Delivery, webhook.Event, error) {
	if err := s.enter(); err != nil {
		return webhook.Delivery{}, webhook.Event{}, err
	}
	defer s.life.RUnlock()
	f, err := s.find(deliveryID)
	if err != nil {
		return webhook.Delivery{}, webhook.Event{}, fmt.Errorf("delivery %s: %w", deliveryID, err)
	}
	return f.shown(true), f.event, nil
}

// Attempts implements queue.Store.
func (s *Store) Attempts(_ context.Context, deliveryID string) ([]webhook.Attempt, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	f, err := s.find(deliveryID)
	if err != nil {
		return nil, fmt.Errorf("attempts of delivery %s: %w", deliveryID, err)
	}
	var out []webhook.Attempt
	err = s.db.View(func(txn *badger.Txn) error {
		// The record is read again so that it is of one moment with the rest.
		record, _, err := readDelivery(txn, f.lane.number, f.key)
		if errors.Is(err, queue.ErrNotFound) {
			return nil
		}
		if earlierErr := eachAttempt(txn, f.key, func(a webhook.Attempt) { out = append(out, a) }); earlierErr != nil {
			return earlierErr
		}
		if err != nil && !errors.Is(err, queue.ErrCorrupt) {
			return err
		}
		if len(record.last) == 0 {
			return nil
		}
		last, err := decodeAttempt(record.last)
		if err == nil {
			out = append(out, last)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attempts of delivery %s: %w", deliveryID, err)
	}
	return out, nil
}

// eachAttempt reads the attempts of a delivery before the last one. Damaged
// ones are left out.
func eachAttempt(txn *badger.Txn, k deliveryKey, fn func(webhook.Attempt)) error {
	it := txn.NewIterator(over(attemptLead(k)))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		err := it.Item().Value(func(v []byte) error {
			rest, err := unseal(v, it.Item().Key())
			if err != nil {
				return nil //nolint:nilerr // a damaged attempt is left out of the log
			}
			if a, err := decodeAttempt(rest); err == nil {
				fn(a)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A found delivery and its event.
type found struct {
	key      deliveryKey
	lane     *lane
	event    webhook.Event
	test     bool
	record   deliveryRecord
	recorded bool // false: the journal has it
	damaged  bool // record is not to be used
	noEvent  bool // the event's record is damaged: event has only what lists show
}

func (f *found) shown(withAttempt bool) webhook.Delivery {
	if !f.damaged {
		return f.record.delivery(f.lane.id, f.key, withAttempt)
	}
	var ev *storedEvent
	if !f.noEvent {
		ev = &storedEvent{event: f.event, test: f.test}
	}
	d := damaged(f.key, ev)
	return d.delivery(f.lane.id, f.key, false)
}

// find reads a delivery by its id, or returns ErrNotFound.
func (s *Store) find(deliveryID string) (*found, error) {
	k, ok := parseID(deliveryID)
	if !ok {
		return nil, queue.ErrNotFound
	}
	f := &found{key: k}

	// The journal is asked first: what is recorded meanwhile is then seen below.
	var live *deliveryRecord
	s.journal.mu.Lock()
	if e := s.journal.find(k.event()); e != nil && k.ordinal() < len(e.targets) && e.targets[k.ordinal()].state != recorded {
		d := e.delivery(k.ordinal())
		live = &d
	}
	s.journal.mu.Unlock()

	err := s.db.View(func(txn *badger.Txn) error {
		number, ev, err := readTarget(txn, k)
		if ev != nil {
			f.event, f.test = ev.event, ev.test
		}
		if err != nil {
			return err
		}
		if f.lane = s.laneOf(number); f.lane == nil {
			return fmt.Errorf("webhook number %d: %w", number, queue.ErrCorrupt)
		}
		f.record, f.recorded, err = readDelivery(txn, number, k)
		if errors.Is(err, queue.ErrNotFound) && live != nil {
			f.record = *live
			err = nil
		}
		if errors.Is(err, queue.ErrCorrupt) {
			f.damaged, err = true, nil
		}
		if ev == nil {
			f.noEvent = true
			f.event = webhook.Event{ID: f.record.eventID, Type: f.record.eventType, ProjectID: f.record.projectID, ReceivedAt: f.record.receivedAt}
		}
		return err
	})
	return f, err
}

// readTarget finds out which webhook a delivery is for. ev is nil if the
// event's record is damaged.
func readTarget(txn *badger.Txn, k deliveryKey) (number uint32, ev *storedEvent, err error) {
	ek := k.event()
	key := keyOfEvent(ek)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, nil, queue.ErrNotFound
	}
	if err != nil {
		return 0, nil, err
	}
	hit := false
	err = item.Value(func(v []byte) error {
		ev, _ = decodeEvent(v, key)
		return eachTarget(v, key, func(t storedTarget) bool {
			if t.ordinal == k.ordinal() {
				number, hit = t.number, true
			}
			return !hit
		})
	})
	switch {
	case errors.Is(err, errDamaged):
		return 0, ev, queue.ErrCorrupt
	case err == nil && !hit:
		return 0, ev, queue.ErrNotFound
	}
	return number, ev, err
}

// readDelivery reads a delivery's record. The error is ErrNotFound, ErrCorrupt
// (exists is true then) or one of Badger's.
func readDelivery(txn *badger.Txn, number uint32, k deliveryKey) (d deliveryRecord, exists bool, err error) {
	key := keyOfDelivery(number, k)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return d, false, queue.ErrNotFound
	}
	if err != nil {
		return d, false, err
	}
	err = item.Value(func(v []byte) error {
		d, err = decodeDelivery(v, key)
		return err
	})
	if errors.Is(err, errDamaged) {
		err = queue.ErrCorrupt
	}
	return d, true, err
}

// locate reads an event by its id. The error is ErrNotFound, ErrCorrupt or one
// of Badger's.
func locate(txn *badger.Txn, id eventID) (eventKey, *storedEvent, error) {
	var k eventKey
	if len(id.id) > maxID {
		return k, nil, queue.ErrNotFound
	}
	item, err := txn.Get(keyOfID(id.id, id.project))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return k, nil, queue.ErrNotFound
	}
	if err != nil {
		return k, nil, err
	}
	err = item.Value(func(v []byte) error {
		if copy(k[:], v) != len(k) {
			return queue.ErrCorrupt
		}
		return nil
	})
	if err != nil {
		return k, nil, err
	}
	ev, err := readEvent(txn, k)
	return k, ev, err
}

// readEvent reads an event's record. The error is ErrNotFound, ErrCorrupt or
// one of Badger's.
func readEvent(txn *badger.Txn, k eventKey) (*storedEvent, error) {
	key := keyOfEvent(k)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, queue.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var ev *storedEvent
	err = item.Value(func(v []byte) error {
		ev, err = decodeEvent(v, key)
		return err
	})
	if errors.Is(err, errDamaged) {
		err = queue.ErrCorrupt
	}
	return ev, err
}

// Events implements queue.Store.
func (s *Store) Events(_ context.Context, q queue.EventQuery) (queue.EventPage, error) {
	if err := s.enter(); err != nil {
		return queue.EventPage{}, err
	}
	defer s.life.RUnlock()
	var page queue.EventPage
	list := listOfEvents(q)
	from, err := parseKeyCursor[eventKey](list, q.Cursor)
	if err != nil {
		return page, fmt.Errorf("events of project %s: %w", q.ProjectID, err)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		var last eventKey
		scanned := 0
		return backwards(txn, projectLead(q.ProjectID), from, func(k eventKey, e entry) (bool, error) {
			if len(page.Events) >= max(q.Limit, 1) || scanned == s.scan {
				page.Next = cursor(list, last[:])
				return false, nil
			}
			scanned++
			last = k
			if e.deleted {
				return true, nil
			}
			ev, err := readEvent(txn, k)
			if err != nil {
				if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrCorrupt) {
					return true, nil
				}
				return false, err
			}
			page.Events = append(page.Events, ev.event)
			return true, nil
		})
	})
	if err != nil {
		return queue.EventPage{}, fmt.Errorf("events of project %s: %w", q.ProjectID, err)
	}
	return page, nil
}

// An eventCache keeps a few recently read events, because the deliveries of
// one event to many webhooks are claimed at about the same time.
type eventCache struct {
	mu     sync.Mutex
	events map[eventKey]*storedEvent
	bytes  int
}

const (
	maxCachedEvents     = 512
	maxCachedEventBytes = 4 << 20
)

func (c *eventCache) get(k eventKey) *storedEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[k]
}

func (c *eventCache) put(k eventKey, ev *storedEvent) {
	size := len(ev.event.Body) + len(ev.event.Context) + 512
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil || len(c.events) >= maxCachedEvents || c.bytes+size > maxCachedEventBytes {
		c.events, c.bytes = make(map[eventKey]*storedEvent), 0
	}
	c.events[k] = ev
	c.bytes += size
}
