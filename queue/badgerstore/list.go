package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// scanPerPage is how many deliveries a page looks at before it is returned
// short.
const scanPerPage = 20_000

// Deliveries implements queue.Store.
func (s *Store) Deliveries(_ context.Context, q queue.DeliveryQuery) (queue.DeliveryPage, error) {
	if err := s.enter(); err != nil {
		return queue.DeliveryPage{}, err
	}
	defer s.life.RUnlock()
	l := s.lane(q.WebhookID)
	from, err := parseCursor[deliveryKey](q.WebhookID, q.Cursor)
	if err != nil {
		return queue.DeliveryPage{}, fmt.Errorf("deliveries of webhook %s: %w", q.WebhookID, err)
	}
	if l == nil {
		return queue.DeliveryPage{}, nil
	}
	ls := listing{store: s, lane: l, query: q, before: from}
	if !q.Until.IsZero() {
		// Nothing of Until's millisecond is left out; match decides.
		if k := firstKeyAt(q.Until.Add(1e6)).delivery(0); ls.before == nil || k.compare(*ls.before) < 0 {
			ls.before = &k
		}
	}
	if err := ls.run(); err != nil {
		return queue.DeliveryPage{}, fmt.Errorf("deliveries of webhook %s: %w", q.WebhookID, err)
	}
	return ls.page, nil
}

// A listing is a Deliveries call under way.
type listing struct {
	store  *Store
	lane   *lane
	query  queue.DeliveryQuery
	before *deliveryKey
	page   queue.DeliveryPage

	// memory has the deliveries without a record, newest first.
	memory  []inMemory
	scanned int
	last    deliveryKey // the last one looked at
}

type inMemory struct {
	key    deliveryKey
	record deliveryRecord
}

// run merges what the journal has with what is on disk. The journal is asked
// first: a delivery recorded meanwhile is then found on disk, and wins.
func (ls *listing) run() error {
	limit := max(ls.query.Limit, 1)
	ls.store.journal.unrecorded(ls.lane.number, func(k deliveryKey, d deliveryRecord) bool {
		if ls.before == nil || k.compare(*ls.before) < 0 {
			ls.memory = append(ls.memory, inMemory{k, d})
		}
		return true
	})
	return ls.store.db.View(func(txn *badger.Txn) error {
		if ls.query.EventID != "" {
			return ls.ofEvent(txn)
		}
		lead := deliveryLead(ls.lane.number)
		if st := ls.query.Status; st != "" && st != webhook.Delivered {
			lead = statusLead(ls.lane.number, st)
		}
		full := false
		err := backwards(txn, lead, ls.before, func(key []byte) (bool, error) {
			k := deliveryKey(key[len(lead):])
			for len(ls.memory) > 0 && ls.memory[0].key.compare(k) > 0 {
				if full = !ls.showMemory(txn, limit); full {
					return false, nil
				}
			}
			if len(ls.memory) > 0 && ls.memory[0].key == k {
				ls.memory = ls.memory[1:]
			}
			more, err := ls.showStored(txn, k, limit)
			full = !more
			return more, err
		})
		for err == nil && !full && len(ls.memory) > 0 {
			full = !ls.showMemory(txn, limit)
		}
		return err
	})
}

// room says whether another delivery is looked at; if not the page ends here.
func (ls *listing) room(limit int) bool {
	if len(ls.page.Deliveries) < limit && ls.scanned < scanPerPage {
		ls.scanned++
		return true
	}
	ls.page.Next = cursor(ls.query.WebhookID, ls.last)
	return false
}

// showMemory shows the next delivery of the journal, unless the disk has it.
func (ls *listing) showMemory(txn *badger.Txn, limit int) bool {
	m := ls.memory[0]
	if !ls.wanted(m.key) {
		ls.memory = nil
		return true
	}
	if !ls.room(limit) {
		return false
	}
	ls.memory = ls.memory[1:]
	ls.last = m.key
	if _, exists, _ := readDelivery(txn, ls.lane.number, m.key); exists {
		_, _ = ls.show(txn, m.key)
		return true
	}
	ls.add(m.record.delivery(ls.lane.id, m.key, true))
	return true
}

func (ls *listing) showStored(txn *badger.Txn, k deliveryKey, limit int) (bool, error) {
	if !ls.wanted(k) {
		return false, nil
	}
	if !ls.room(limit) {
		return false, nil
	}
	ls.last = k
	return ls.show(txn, k)
}

// wanted is false where all that follows was created before Since.
func (ls *listing) wanted(k deliveryKey) bool {
	return ls.query.Since.IsZero() || k.event().millis() >= firstKeyAt(ls.query.Since).millis()
}

func (ls *listing) show(txn *badger.Txn, k deliveryKey) (bool, error) {
	record, _, err := readDelivery(txn, ls.lane.number, k)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return true, nil
	case errors.Is(err, queue.ErrCorrupt):
		d := damaged(ls.lane.id, k)
		if ev, err := readEvent(txn, k.event()); err == nil {
			d.EventID, d.EventType, d.ProjectID, d.Test = ev.event.ID, ev.event.Type, ev.event.ProjectID, ev.test
		}
		ls.add(d)
		return true, nil
	case err != nil:
		return false, err
	}
	ls.add(record.delivery(ls.lane.id, k, true))
	return true, nil
}

// add appends a delivery to the page if the query wants it.
func (ls *listing) add(d webhook.Delivery) {
	q := ls.query
	switch {
	case q.Status != "" && d.Status != q.Status,
		q.EventType != "" && d.EventType != q.EventType,
		q.EventID != "" && d.EventID != q.EventID,
		!q.Since.IsZero() && d.CreatedAt.Before(q.Since),
		!q.Until.IsZero() && !d.CreatedAt.Before(q.Until):
		return
	}
	ls.page.Deliveries = append(ls.page.Deliveries, d)
}

// ofEvent lists the deliveries of the events with one id: one, or one for each
// project that has used the id.
func (ls *listing) ofEvent(txn *badger.Txn) error {
	keys, err := ls.eventKeys(txn)
	if err != nil {
		return err
	}
	for _, ek := range keys {
		k, ok, err := ls.target(txn, ek)
		if err != nil {
			return err
		}
		if !ok || ls.before != nil && k.compare(*ls.before) >= 0 {
			continue
		}
		if !ls.room(max(ls.query.Limit, 1)) {
			return nil
		}
		ls.last = k
		i := slices.IndexFunc(ls.memory, func(m inMemory) bool { return m.key == k })
		if _, exists, _ := readDelivery(txn, ls.lane.number, k); !exists && i >= 0 {
			ls.add(ls.memory[i].record.delivery(ls.lane.id, k, true))
			continue
		}
		if _, err := ls.show(txn, k); err != nil {
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
