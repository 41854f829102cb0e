package badgerstore

import (
	"context"
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Publish implements queue.Store.
func (s *Store) Publish(ctx context.Context, pubs []queue.Publication) ([]queue.Receipt, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	if len(pubs) == 0 {
		return nil, nil
	}
	size := int64(0)
	for i := range pubs {
		size += sizeOf(&pubs[i])
	}
	if !s.waiting.take(size, s.opts.QueueBytes) {
		return nil, queue.ErrBusy
	}
	return s.publish(ctx, pubs, s.space.tooFullTo(publish), size)
}

// publish is Publish with taken bytes of Store.waiting, which it gives back.
func (s *Store) publish(ctx context.Context, pubs []queue.Publication, full bool, taken int64) ([]queue.Receipt, error) {
	c := publishing{store: s, full: full, taken: taken, receipts: make([]queue.Receipt, len(pubs)), requests: make([]*publication, 0, len(pubs))}
	prepared := false
	defer func() {
		s.waiting.giveBack(c.taken)
		if !prepared {
			c.giveUp()
		}
	}()
	for i := range pubs {
		if err := c.prepare(i, &pubs[i]); err != nil {
			return nil, fmt.Errorf("publish event %s: %w", pubs[i].Event.ID, err)
		}
	}
	prepared = true
	if err := c.submit(ctx); err != nil {
		return nil, err
	}
	if err := c.answerRepeats(ctx, pubs); err != nil {
		return nil, err
	}
	return c.receipts, nil
}

// A publishing is a Publish call under way.
type publishing struct {
	store    *Store
	full     bool // there is no space for anything new
	receipts []queue.Receipt
	requests []*publication
	repeats  []repeat
	taken    int64 // of Store.waiting, beside what its requests have
}

// sizeOf estimates the memory that a publication takes while it waits.
func sizeOf(pub *queue.Publication) int64 {
	return int64(1024 + len(pub.Event.Body) + len(pub.Event.Context) + len(pub.Remember) + 64*len(pub.Targets))
}

// A repeat is a publication whose id is being stored by another, or by an
// earlier one of the same call.
type repeat struct {
	index int
	first *flight
}

// prepare makes a request of a publication, unless its id is known.
func (c *publishing) prepare(i int, pub *queue.Publication) error {
	s := c.store
	id := eventID{project: pub.Event.ProjectID, id: pub.Event.ID}
	var f *flight // nil: nobody else can have the id
	if !pub.NewID {
		own, other := s.flight.begin(id)
		if !own {
			c.repeats = append(c.repeats, repeat{i, other})
			return nil
		}
		f = other
	}
	r := &publication{store: s, id: id, flight: f, pub: *pub}
	r.pub.Remember = s.contexts.own(id.project, pub.Remember)
	c.requests = append(c.requests, r)
	if !pub.NewID {
		stored, err := s.stored(id)
		if err == nil {
			c.requests = c.requests[:len(c.requests)-1]
			s.flight.end(id, f)
			c.receipts[i] = queue.Receipt{Deliveries: stored.pending, Stored: &stored.event}
			return nil
		}
		switch {
		case errors.Is(err, queue.ErrCorrupt):
			// Nobody can say whether the content is the same. To refuse it for ever
			// would lose it; now what was not sent is sent after all.
			s.log.Error("event is damaged on disk and was published again; it is stored anew",
				zap.String("event_id", id.id), zap.String("project_id", id.project))
		case !errors.Is(err, queue.ErrNotFound):
			return err
		}
	}
	if c.full {
		return queue.ErrFull
	}
	if err := r.encode(); err != nil {
		return err
	}
	c.receipts[i].Deliveries = r.pending
	return nil
}

// giveUp ends the flights of a call that stores nothing.
func (c *publishing) giveUp() {
	for _, r := range c.requests {
		c.store.flight.end(r.id, r.flight)
	}
}

// submit hands the requests to the committer and waits for them.
func (c *publishing) submit(ctx context.Context) error {
	if len(c.requests) == 0 {
		return nil
	}
	s := c.store
	w := s.expect(len(c.requests))
	for i, r := range c.requests {
		r.waiter = w
		r.size = sizeOf(&r.pub)
		if err := s.inbox.put(r, true); err != nil {
			for _, rest := range c.requests[i:] {
				s.flight.end(rest.id, rest.flight)
			}
			return err
		}
		c.taken -= r.size
	}
	return s.wait(ctx, w)
}

// answerRepeats waits for the first publications of repeated ids.
func (c *publishing) answerRepeats(ctx context.Context, pubs []queue.Publication) error {
	for _, r := range c.repeats {
		select {
		case <-r.first.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Now the id is known, unless the first one was refused.
		pub := withOldID(pubs[r.index])
		size := sizeOf(&pub)
		c.taken -= size
		receipts, err := c.store.publish(ctx, []queue.Publication{pub}, c.full, size)
		if err != nil {
			return err
		}
		c.receipts[r.index] = receipts[0]
	}
	return nil
}

// withOldID returns pub as one whose id must be looked up.
func withOldID(pub queue.Publication) queue.Publication {
	pub.NewID = false
	return pub
}

// stored reads an event by its id.
func (s *Store) stored(id eventID) (*storedEvent, error) {
	var ev *storedEvent
	err := s.db.View(func(txn *badger.Txn) error {
		_, value, err := locate(txn, id)
		if err == nil {
			ev = value
		}
		return err
	})
	return ev, err
}

// A publication is the request that stores an event.
type publication struct {
	store  *Store
	id     eventID
	flight *flight
	waiter *waiter
	pub    queue.Publication
	size   int64 // of Store.waiting

	targets []target
	pending int
	record  eventRecord
	live    *liveEvent // set by write; nil without targets
	counts  counts
	drops   uint64 // Store.drops when the targets were looked up
}

// encode prepares everything that does not depend on the event's key.
func (r *publication) encode() error {
	if len(r.pub.Remember) > maxValue {
		return fmt.Errorf("%d bytes are too many to remember", len(r.pub.Remember))
	}
	r.drops, r.counts = r.store.drops.Load(), counts{}
	var err error
	if r.targets, err = r.store.targets(r.pub.Targets); err != nil {
		return err
	}
	for i := range r.targets {
		r.counts.add(r.targets[i].status, 1)
	}
	r.pending = int(r.counts[statusByte(webhook.Pending)])
	buf := r.record.value
	if buf == nil {
		buf = r.store.buffers.get()
	}
	r.record, err = encodeEvent(buf, &r.pub, r.targets)
	return err
}

func (r *publication) weight() (int, int64) {
	ev := r.pub.Event
	bytes := len(r.record.value) + 3*(len(ev.ID)+len(ev.ProjectID)) + 128
	if r.pub.Remember != nil {
		bytes += len(r.pub.Remember)
	}
	entries := 4
	if r.store.drops.Load() != r.drops { // renew may have to write names
		entries += len(r.targets)
		bytes += len(r.targets) * (maxID + 16)
	}
	return entries, int64(bytes)
}

func (r *publication) write(p *pack) error {
	if err := r.renew(p); err != nil {
		return err
	}
	ev := r.pub.Event
	k := p.meta.lastKey.next(ev.ReceivedAt)
	p.meta.lastKey = k
	for i, n := range r.counts {
		p.meta.counts[i] += n
	}

	var buf [600]byte
	key := append(buf[:0], prefixEvent)
	key = append(key, k[:]...)
	p.set(key, r.record.sealFor(key))
	key = append(buf[:0], prefixID, byte(len(ev.ID)))
	key = append(append(key, ev.ID...), ev.ProjectID...)
	p.set(key, p.keep(k[:]))
	key = append(buf[:0], prefixProject, byte(len(ev.ProjectID)))
	key = append(append(key, ev.ProjectID...), k[:]...)
	p.set(key, nil)
	r.store.remember(p, &r.pub)

	if len(r.targets) > 0 {
		r.live = &liveEvent{key: k, event: ev, test: r.pub.Test, targets: r.targets, open: len(r.targets)}
	}
	return nil
}

func (r *publication) apply(*pack) {
	if r.live != nil {
		r.store.admit(r.live)
	}
}

func (r *publication) done(err error) {
	r.store.waiting.giveBack(r.size)
	r.store.buffers.put(r.record.value)
	r.store.flight.end(r.id, r.flight)
	r.waiter.finish(err)
}

// admit takes an event with deliveries into the journal and its lanes. The
// committer holds journal.mu.
func (s *Store) admit(e *liveEvent) {
	j := &s.journal
	j.add(e)
	room := s.opts.MemoryDeliveries - (j.targets - e.open)
	if j.bytes > s.opts.MemoryBytes {
		room = 0
	}
	due := e.event.ReceivedAt
	for i := range e.targets {
		t := &e.targets[i]
		if t.state == recorded {
			continue // before a restart
		}
		l := t.lane
		l.mu.Lock()
		l.admitted++
		l.live.add(e.key.delivery(i), e)
		if t.status != webhook.Pending {
			l.mu.Unlock()
			t.state = toRecord
			e.toWrite++
			continue
		}
		s.backlog.Add(1)
		l.backlog++
		// A lane may take as much memory as it leaves to the others.
		if l.waiting == 0 && l.fresh.len() < room {
			l.fresh.push(freshItem{e, uint32(i)})
			room--
			l.mu.Unlock()
			s.news = append(s.news, news{l.id, due})
			continue
		}
		t.wait()
		l.mu.Unlock()
		t.state = toRecord
		e.toWrite++
	}
	j.enqueue(e)
	s.putOff()
}
