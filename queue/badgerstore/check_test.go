package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Check verifies everything that must hold of the stored data and of what the
// memory says about it, and returns what does not, at most 20 findings. It
// reads the whole store. No other call may be under way.
func (s *Store) Check() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	c := checker{store: s, backlog: make(map[uint32]int), entries: make(map[uint32][2][]dueEntry), live: make(map[deliveryKey]int)}
	s.settleDown()
	err := s.db.View(func(txn *badger.Txn) error {
		c.txn = txn
		for _, step := range []struct {
			prefix byte
			check  func(key, value []byte)
		}{
			{prefixEvent, c.event},
			{prefixID, c.id},
			{prefixProject, c.project},
			{prefixDelivery, c.delivery},
			{prefixDue, c.due},
			{prefixStatus, c.status},
		} {
			if err := c.each(step.prefix, step.check); err != nil {
				return err
			}
		}
		return nil
	})
	c.memory()
	return errors.Join(err, errors.Join(c.found...))
}

// settleDown waits until the journal has recorded what it is about to.
func (s *Store) settleDown() {
	for {
		recorded := s.recorded.next()
		s.journal.mu.Lock()
		busy := false
		for _, e := range s.journal.events[s.journal.head:] {
			busy = busy || e != nil && e.toWrite > 0
		}
		s.journal.mu.Unlock()
		if !busy || s.failure() != nil {
			return
		}
		select {
		case <-recorded:
		case <-time.After(time.Second):
		}
	}
}

type checker struct {
	store   *Store
	txn     *badger.Txn
	counts  counts
	backlog map[uint32]int
	live    map[deliveryKey]int      // 1 for those without a record
	entries map[uint32][2][]dueEntry // of the due index, by webhook and class
	known   eventKey                 // was found to be there
	found   []error
}

func (c *checker) report(format string, args ...any) {
	if len(c.found) < 20 {
		c.found = append(c.found, fmt.Errorf(format, args...))
	}
}

func (c *checker) each(prefix byte, fn func(key, value []byte)) error {
	it := c.txn.NewIterator(over([]byte{prefix}))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		err := it.Item().Value(func(v []byte) error {
			fn(it.Item().Key(), v)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) has(key []byte) bool {
	_, err := c.txn.Get(key)
	return err == nil
}

// event: its indexes exist, and every delivery has a record or is live.
func (c *checker) event(key, value []byte) {
	k := eventKey(key[1:])
	ev, err := decodeEvent(value, key)
	if err != nil {
		c.report("event %x: %w", k, err)
		return
	}
	if !c.has(keyOfID(ev.event.ID, ev.event.ProjectID)) || !c.has(append(projectLead(ev.event.ProjectID), k[:]...)) {
		c.report("event %x has no index entry", k)
	}
	c.store.journal.mu.Lock()
	live := c.store.journal.find(k)
	c.store.journal.mu.Unlock()
	err = eachTarget(value, key, func(t storedTarget) bool {
		stored := c.has(keyOfDelivery(t.number, k.delivery(t.ordinal)))
		inMemory := live != nil && live.targets[t.ordinal].state != recorded
		if stored == inMemory {
			c.report("delivery %s: recorded is %v, live is %v", k.delivery(t.ordinal).id(), stored, inMemory)
		}
		if inMemory {
			c.live[k.delivery(t.ordinal)]++
			c.counts.add(t.status, 1)
			if t.status == webhook.Pending {
				c.backlog[t.number]++
			}
		}
		return true
	})
	if err != nil {
		c.report("targets of event %x: %w", k, err)
	}
}

func (c *checker) id(key, value []byte) {
	if len(value) != 12 || !c.has(keyOfEvent(eventKey(value))) {
		c.report("id %q has no event", key[2:])
	}
}

func (c *checker) project(key, _ []byte) {
	if !c.has(keyOfEvent(eventKey(key[len(key)-12:]))) {
		c.report("list entry %q has no event", key)
	}
}

// delivery: it has exactly the index entries that its status asks for.
func (c *checker) delivery(key, value []byte) {
	number, k := binary.BigEndian.Uint32(key[1:]), deliveryKey(key[5:])
	d, err := decodeDelivery(value, key)
	if err != nil {
		c.counts.add(peekStatus(value), 1)
		c.report("delivery %s: %w", k.id(), err)
		return
	}
	c.counts.add(d.status, 1)
	if d.status == webhook.Pending {
		c.backlog[number]++
		if !c.has(keyOfDue(number, d.class, d.due(k))) {
			c.report("pending delivery %s has no due entry", k.id())
		}
	}
	if d.status != webhook.Delivered && !c.has(keyOfStatus(number, d.status, k)) {
		c.report("delivery %s is not listed as %s", k.id(), d.status)
	}
	if c.known != k.event() {
		if !c.has(keyOfEvent(k.event())) {
			c.report("delivery %s has no event", k.id())
		}
		c.known = k.event()
	}
	attempts := 0
	if len(d.last) > 0 {
		attempts++
	}
	if attempts == d.attempts {
		return
	}
	if err := eachAttempt(c.txn, k, func(webhook.Attempt) { attempts++ }); err != nil || attempts != d.attempts {
		c.report("delivery %s has %d of %d attempts: %v", k.id(), attempts, d.attempts, err)
	}
}

func (c *checker) due(key, _ []byte) {
	number, class, e, err := parseDue(key)
	if err != nil {
		c.report("due entry %x: %w", key, err)
		return
	}
	es := c.entries[number]
	es[class] = append(es[class], e)
	c.entries[number] = es
	d, _, err := readDelivery(c.txn, number, e.key)
	if err != nil || d.status != webhook.Pending || d.class != class || d.due(e.key) != e {
		c.report("due entry of delivery %s has nothing behind it: %v", e.key.id(), err)
	}
}

func (c *checker) status(key, _ []byte) {
	number, k := binary.BigEndian.Uint32(key[1:]), deliveryKey(key[6:])
	d, _, err := readDelivery(c.txn, number, k)
	if err != nil || statusByte(d.status) != key[5] {
		c.report("delivery %s is listed with another status than %s: %v", k.id(), d.status, err)
	}
}

// memory compares the counts, and that every pending delivery is in exactly
// one place.
func (c *checker) memory() {
	s := c.store
	if got := s.committed.Load().counts; got != c.counts {
		c.report("counts by status are %v, want %v", got, c.counts)
	}
	if n := s.heavier.Load(); n > 0 {
		c.report("%d requests have written more than their weight", n)
	}
	if n := s.waiting.used.Load(); n != 0 {
		c.report("%d bytes are waiting to be stored, though no call is", n)
	}
	if len(s.lanes) != len(s.numbers) {
		c.report("%d lanes by id, %d by number", len(s.lanes), len(s.numbers))
	}
	total := 0
	for _, l := range s.allLanes() {
		l.mu.Lock()
		want := c.backlog[l.number]
		total += want
		if l.backlog != want {
			c.report("backlog of %s is %d, want %d", l.id, l.backlog, want)
		}
		if n, err := l.reachable(c.entries[l.number]); err != nil || n != want {
			c.report("%d of %d pending deliveries of %s can be reached: %v", n, want, l.id, err)
		}
		for _, item := range l.live.items {
			if item.event != nil {
				c.live[item.key]--
			}
		}
		l.mu.Unlock()
	}
	for k, n := range c.live {
		if n != 0 {
			c.report("delivery %s is on no list, or in error (%d)", k.id(), n)
		}
	}
	if got := int(s.backlog.Load()); got != total {
		c.report("backlog is %d, want %d", got, total)
	}
}

// reachable counts the pending deliveries that the lane would come to, given
// what the due index has of it. The caller holds mu.
func (l *lane) reachable(entries [2][]dueEntry) (int, error) {
	seen := make(map[deliveryKey]int)
	for _, f := range l.fresh.items[l.fresh.head:] {
		seen[f.key()]++
	}
	for k, h := range l.held {
		if !h.loaded || h.record.status == webhook.Pending {
			seen[k]++
		}
	}
	for c := range l.windows {
		w := &l.windows[c]
		for _, e := range w.entries {
			seen[e.key]++
		}
		for _, e := range entries[c] {
			if _, held := l.held[e.key]; w.more && !held && e.compare(w.pos) > 0 {
				seen[e.key]++
			}
		}
	}
	for k, n := range seen {
		if n > 1 {
			return len(seen), fmt.Errorf("%s is in %d places", k.id(), n)
		}
	}
	return len(seen), nil
}
