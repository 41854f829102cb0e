package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// scanPerPage is how many entries a page looks at, deleted ones included,
// before it is returned short.
const scanPerPage = 20_000

// Deliveries implements queue.Store.
func (s *Store) Deliveries(_ context.Context, q queue.DeliveryQuery) (queue.DeliveryPage, error) {
	if err := s.enter(); err != nil {
		return queue.DeliveryPage{}, err
	}
	defer s.life.RUnlock()
	ls := listing{store: s, lane: s.lane(q.WebhookID), query: q, name: listOfDeliveries(q), limit: max(q.Limit, 1)}
	var err error
	if ls.before, err = parseKeyCursor[deliveryKey](ls.name, q.Cursor); err != nil {
		return queue.DeliveryPage{}, fmt.Errorf("deliveries of webhook %s: %w", q.WebhookID, err)
	}
	if ls.lane == nil {
		return queue.DeliveryPage{}, nil
	}
	if !q.Until.IsZero() {
		// Nothing of Until's millisecond is left out; wants decides.
		if k := firstKeyAt(q.Until.Add(time.Millisecond)).delivery(0); ls.before == nil || k.compare(*ls.before) < 0 {
			ls.before = &k
		}
	}
	if err := ls.run(); err != nil {
		return queue.DeliveryPage{}, fmt.Errorf("deliveries of webhook %s: %w", q.WebhookID, err)
	}
	return ls.page, nil
}

// A listing is a Deliveries call under way. It merges the deliveries that have
// no record, which the lane has in memory, with an index on disk.
type listing struct {
	store  *Store
	lane   *lane
	query  queue.DeliveryQuery
	name   string // of the list, for its cursors
	limit  int
	before *deliveryKey

	// memory has deliveries without a record, newest first, down to floor; all
	// there are if floor is nil.
	memory []inMemory
	floor  *deliveryKey

	follower follower // of the index by status

	page    queue.DeliveryPage
	scanned int
	last    deliveryKey // the last one looked at
	full    bool        // the page is
}

type inMemory struct {
	key    deliveryKey
	record deliveryRecord
}

// run asks the memory first: a delivery recorded meanwhile is then found on
// disk, which wins.
func (ls *listing) run() error {
	if ls.query.EventID != "" {
		return ls.ofEvent()
	}
	ls.recall()
	return ls.store.db.View(func(txn *badger.Txn) error {
		if st := ls.query.Status; st != "" && st != webhook.Delivered {
			ls.follower = follower{txn: txn, number: ls.lane.number}
			defer ls.follower.close()
			return ls.ofIndex(txn, statusLead(ls.lane.number, st), true)
		}
		return ls.ofIndex(txn, deliveryLead(ls.lane.number), false)
	})
}

// recall collects what a page may need of the deliveries without a record.
func (ls *listing) recall() {
	l := ls.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	u := &l.live
	lowest := u.head
	for i, looked := u.below(ls.before)-1, 0; i >= lowest; i, looked = i-1, looked+1 {
		item := &u.items[i]
		if !ls.wanted(item.key) {
			return
		}
		if len(ls.memory) > ls.limit || looked == ls.store.scan {
			ls.floor = &deliveryKey{}
			*ls.floor = item.key
			return
		}
		if item.event == nil {
			continue
		}
		if d := item.event.delivery(item.key.ordinal()); ls.wants(&d, item.key) {
			ls.memory = append(ls.memory, inMemory{item.key, d})
		}
	}
}

// ofIndex lists what an index on disk has, and the memory. Entries of the
// index by status are hints; those of the other are the records.
func (ls *listing) ofIndex(txn *badger.Txn, lead []byte, hints bool) error {
	err := backwards(txn, lead, ls.before, func(k deliveryKey, e entry) (bool, error) {
		if err := ls.showMemory(txn, &k); err != nil || ls.full || !ls.wanted(k) {
			return false, err
		}
		if len(ls.memory) > 0 && ls.memory[0].key == k {
			ls.memory = ls.memory[1:]
		}
		if !ls.look(k) {
			return false, nil
		}
		switch {
		case e.deleted:
			return true, nil
		case hints:
			return true, ls.showStored(txn, k)
		case ls.query.EventType != "" && isOfOtherType(e.value, e.key, ls.query.EventType):
			return true, nil
		default:
			record, err := decodeDelivery(e.value, e.key)
			ls.show(txn, k, record, err)
			return true, nil
		}
	})
	if err != nil || ls.full {
		return err
	}
	if err := ls.showMemory(txn, nil); err != nil || ls.full {
		return err
	}
	if ls.floor != nil {
		ls.end(*ls.floor)
	}
	return nil
}

// showMemory shows the deliveries of the memory down to a key, all if it is
// nil. Below floor nothing is known of them, so the page ends there.
func (ls *listing) showMemory(txn *badger.Txn, down *deliveryKey) error {
	for len(ls.memory) > 0 && (down == nil || ls.memory[0].key.compare(*down) > 0) {
		m := ls.memory[0]
		if !ls.look(m.key) {
			return nil
		}
		ls.memory = ls.memory[1:]
		record, exists, err := readDelivery(txn, ls.lane.number, m.key)
		if !exists && errors.Is(err, queue.ErrNotFound) {
			record, err = m.record, nil
		}
		if err != nil && !errors.Is(err, queue.ErrCorrupt) {
			return err
		}
		ls.show(txn, m.key, record, err)
	}
	if down != nil && ls.floor != nil && down.compare(*ls.floor) <= 0 {
		ls.end(*ls.floor)
	}
	return nil
}

// look says whether another delivery is looked at; if not the page ends here.
func (ls *listing) look(k deliveryKey) bool {
	if len(ls.page.Deliveries) < ls.limit && ls.scanned < ls.store.scan {
		ls.scanned++
		ls.last = k
		return true
	}
	ls.page.Next = cursor(ls.name, ls.last[:])
	ls.full = true
	return false
}

// end ends the page before a delivery was looked at that the next one begins
// with.
func (ls *listing) end(first deliveryKey) {
	after := first.successor()
	ls.page.Next = cursor(ls.name, after[:])
	ls.full = true
}

// wanted is false where all that follows was created before Since.
func (ls *listing) wanted(k deliveryKey) bool {
	return ls.query.Since.IsZero() || k.event().millis() >= firstKeyAt(ls.query.Since).millis()
}

// wants says whether the query selects a delivery.
func (ls *listing) wants(d *deliveryRecord, k deliveryKey) bool {
	q := &ls.query
	if q.Status != "" && d.status != q.Status || q.EventType != "" && d.eventType != q.EventType || q.EventID != "" && d.eventID != q.EventID {
		return false
	}
	created := k.createdAt(d.receivedAt)
	return (q.Since.IsZero() || !created.Before(q.Since)) && (q.Until.IsZero() || created.Before(q.Until))
}

// showStored shows a delivery that has a record; none if it has gone.
func (ls *listing) showStored(txn *badger.Txn, k deliveryKey) error {
	record, _, err := ls.follower.read(k)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil
	case err != nil && !errors.Is(err, queue.ErrCorrupt):
		return err
	}
	ls.show(txn, k, record, err)
	return nil
}

// show appends a delivery to the page if the query selects it. With an error
// its record is damaged.
func (ls *listing) show(txn *badger.Txn, k deliveryKey, record deliveryRecord, err error) {
	if err != nil {
		ev, _ := readEvent(txn, k.event())
		record = damaged(k, ev)
	}
	if ls.wants(&record, k) {
		ls.page.Deliveries = append(ls.page.Deliveries, record.delivery(ls.lane.id, k, true))
	}
}

// ofEvent lists the deliveries of the events with one id: one, or one for each
// project that has used the id.
func (ls *listing) ofEvent() error {
	var keys []deliveryKey
	err := ls.store.db.View(func(txn *badger.Txn) error {
		events, err := ls.eventKeys(txn)
		if err != nil {
			return err
		}
		for _, ek := range events {
			k, ok, err := ls.target(txn, ek)
			if err != nil {
				return err
			}
			if ok && (ls.before == nil || k.compare(*ls.before) < 0) {
				keys = append(keys, k)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if !ls.look(k) {
			return nil
		}
		live := ls.lane.unrecorded(k) // before the disk is asked
		err := ls.store.db.View(func(txn *badger.Txn) error {
			record, _, err := readDelivery(txn, ls.lane.number, k)
			switch {
			case errors.Is(err, queue.ErrNotFound) && live == nil:
				return nil
			case errors.Is(err, queue.ErrNotFound):
				record, err = *live, nil
			case err != nil && !errors.Is(err, queue.ErrCorrupt):
				return err
			}
			ls.show(txn, k, record, err)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eventKeys returns the keys of the events with the wanted id, newest first.
func (ls *listing) eventKeys(txn *badger.Txn) ([]eventKey, error) {
	if len(ls.query.EventID) > maxID {
		return nil, nil
	}
	var keys []eventKey
	it := txn.NewIterator(over(idLead(ls.query.EventID)))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		err := it.Item().Value(func(v []byte) error {
			var k eventKey
			if copy(k[:], v) == len(k) {
				keys = append(keys, k)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(keys, func(a, b eventKey) int { return b.delivery(0).compare(a.delivery(0)) })
	return keys, nil
}

// target returns the delivery of an event to the listed webhook.
func (ls *listing) target(txn *badger.Txn, ek eventKey) (k deliveryKey, ok bool, err error) {
	key := keyOfEvent(ek)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return k, false, nil
	}
	if err != nil {
		return k, false, err
	}
	err = item.Value(func(v []byte) error {
		return eachTarget(v, key, func(t storedTarget) bool {
			if t.number == ls.lane.number {
				k, ok = ek.delivery(t.ordinal), true
			}
			return !ok
		})
	})
	if errors.Is(err, errDamaged) {
		err = nil
	}
	return k, ok, err
}
