package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Claim implements queue.Store. A claim ends by its deadline when the first
// Claim of its webhook comes whose Now has reached it, or the first ClaimOne
// when the store's clock has.
func (s *Store) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	if err := s.enter(); err != nil {
		return nil, time.Time{}, err
	}
	defer s.life.RUnlock()
	s.clock.set(r.Now)
	l := s.lane(r.WebhookID)
	if l == nil {
		return nil, time.Time{}, nil
	}
	for {
		recorded := s.recorded.next()
		if err := s.failure(); err != nil {
			return nil, time.Time{}, err
		}
		if s.space.tooFullTo(finish) {
			return nil, time.Time{}, queue.ErrFull
		}
		grants, next, waiting, err := s.takeDue(l, r)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("claim for webhook %s: %w", r.WebhookID, err)
		}
		out, err := s.load(ctx, l, grants)
		switch {
		case err != nil:
			return nil, time.Time{}, fmt.Errorf("claim for webhook %s: %w", r.WebhookID, err)
		case len(out) > 0 && waiting && (next.IsZero() || next.After(r.Now)):
			return out, r.Now, nil // ask again for those about to be recorded
		case len(out) > 0:
			return out, next, nil
		case len(grants) > 0:
			continue // all were leftovers or damaged
		case !waiting:
			return nil, next, nil
		}
		select {
		case <-recorded:
		case <-ctx.Done():
			return nil, time.Time{}, ctx.Err()
		}
	}
}

// A grant is a claim that was just given: later ones of the same hold have
// other tokens.
type grant struct {
	*hold
	token uint64
}

// takeDue claims up to r.Max deliveries of a lane without reading them.
// waiting says that some are about to be recorded and cannot be claimed until
// then.
func (s *Store) takeDue(l *lane, r queue.ClaimRequest) (grants []grant, next time.Time, waiting bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(r.Now)
	due := r.Now
	if r.Due.After(due) {
		due = r.Due
	}
	for {
		for c := range l.windows {
			if err := l.fill(s.db, class(c)); err != nil {
				for _, g := range grants {
					l.giveBack(g.hold, r.Now)
				}
				return nil, time.Time{}, false, err
			}
		}
		if len(grants) >= max(r.Max, 1) {
			break
		}
		h := l.take(due)
		if h == nil {
			break
		}
		if e := h.live; e != nil && !h.loaded {
			h.record = newDelivery(e.event, e.test, e.key, webhook.Pending, "")
			h.event, h.loaded = e.event, true
		}
		l.claim(h, r.Owner, r.Now, r.Until, s.tokens.Add(1))
		grants = append(grants, grant{h, h.token})
	}
	return grants, l.next(r.Now), l.waiting > 0, nil
}

// load reads what was claimed. Leftovers of the due index are dropped, damaged
// deliveries end as Corrupt.
func (s *Store) load(ctx context.Context, l *lane, grants []grant) ([]queue.Claimed, error) {
	good := grants[:0]
	for i, g := range grants {
		ok, err := s.loadOne(ctx, l, g.hold)
		if err != nil {
			s.release(l, append(good, grants[i:]...))
			return nil, err
		}
		if ok {
			good = append(good, g)
		}
	}
	out := make([]queue.Claimed, 0, len(good))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range good {
		if g.hold.token == g.token && g.state == claimed {
			out = append(out, g.claimed(l))
		}
	}
	return out, nil
}

func (s *Store) loadOne(ctx context.Context, l *lane, h *hold) (ok bool, err error) {
	l.mu.Lock()
	loaded := h.loaded
	l.mu.Unlock()
	if loaded {
		return true, nil
	}
	record, ev, err := s.readBoth(l.number, h.key)
	whole := !errors.Is(err, queue.ErrCorrupt)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return false, s.drop(l, h, nil)
	case err != nil && whole:
		return false, err
	case whole && record.status != webhook.Pending:
		return false, s.drop(l, h, nil)
	case whole && (record.class != h.class || record.due(h.key) != h.entry):
		return false, s.drop(l, h, &record)
	case !whole:
		return false, s.condemn(ctx, l, h, nil, ev)
	case ev == nil:
		return false, s.condemn(ctx, l, h, &record, nil)
	}
	record.last = nil
	l.mu.Lock()
	h.record, h.event, h.loaded = record, &ev.event, true
	l.mu.Unlock()
	return true, nil
}

// readBoth reads a delivery's record and its event. The error is about the
// record; if the event is damaged or gone ev is nil.
func (s *Store) readBoth(number uint32, k deliveryKey) (record deliveryRecord, ev *storedEvent, err error) {
	ev = s.events.get(k.event())
	err = s.db.View(func(txn *badger.Txn) error {
		var err error
		record, _, err = readDelivery(txn, number, k)
		if ev != nil || errors.Is(err, queue.ErrNotFound) {
			return err
		}
		found, evErr := readEvent(txn, k.event())
		switch {
		case evErr == nil:
			ev = found
			s.events.put(k.event(), ev)
		case !errors.Is(evErr, queue.ErrCorrupt) && !errors.Is(evErr, queue.ErrNotFound):
			return evErr
		}
		return err
	})
	return record, ev, err
}

// claimed returns what the caller of a claim gets.
func (h *hold) claimed(l *lane) queue.Claimed {
	d := h.record.delivery(l.id, h.key, false)
	return queue.Claimed{
		Claim: queue.Claim{
			DeliveryID: d.ID,
			WebhookID:  l.id,
			Owner:      h.owner,
			Token:      h.token,
			Until:      h.until,
		},
		Delivery: d,
		Event:    h.event,
	}
}

// release gives claims back that nobody was told of.
func (s *Store) release(l *lane, grants []grant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range grants {
		if l.held[g.key] == g.hold && g.state == claimed && g.hold.token == g.token {
			l.giveBack(g.hold, g.since)
		}
	}
}

// drop removes an entry of the due index that nothing stands behind: no pending
// delivery, or one that is due at another time, which other says.
func (s *Store) drop(l *lane, h *hold, other *deliveryRecord) error {
	s.log.Warn("dropped a leftover of the due index", zap.String("webhook_id", l.id), zap.String("delivery_id", h.key.id()))
	l.mu.Lock()
	h.state = finishing // the index is not to show it again before it is removed
	l.mu.Unlock()
	return s.inbox.put(&removal{store: s, lane: l, hold: h, other: other}, false)
}

// A removal is the request that deletes a leftover of the due index; nobody
// waits for it.
type removal struct {
	store *Store
	lane  *lane
	hold  *hold
	other *deliveryRecord
}

func (r *removal) weight() (int, int64) { return 1, dueKeyLen }
func (r *removal) done(error)           {}

func (r *removal) write(p *pack) error {
	p.delete(keyOfDue(r.lane.number, r.hold.class, r.hold.entry))
	return nil
}

func (r *removal) apply(*pack) {
	l, h := r.lane, r.hold
	r.store.backlog.Add(-1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog--
	delete(l.held, h.key)
	if d := r.other; d != nil {
		l.windows[d.class].insert(d.due(h.key)) // it was passed over while this one was held
	}
}

// Release implements queue.Store.
func (s *Store) Release(_ context.Context, c queue.Claim, due time.Time) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	l := s.lane(c.WebhookID)
	k, ok := parseID(c.DeliveryID)
	if l == nil || !ok {
		return queue.ErrClaimLost
	}
	l.mu.Lock()
	h := l.held[k]
	if h == nil || h.state != claimed || h.token != c.Token {
		l.mu.Unlock()
		return queue.ErrClaimLost
	}
	pending := h.record.status == webhook.Pending
	l.giveBack(h, due)
	l.mu.Unlock()
	if fn := s.watcher.Load(); fn != nil && *fn != nil && pending {
		(*fn)(l.id, due)
	}
	return nil
}

// ClaimOne implements queue.Store.
func (s *Store) ClaimOne(ctx context.Context, deliveryID, owner string, now, until time.Time) (queue.Claimed, error) {
	fail := func(err error) (queue.Claimed, error) {
		return queue.Claimed{}, fmt.Errorf("claim delivery %s: %w", deliveryID, err)
	}
	if err := s.enter(); err != nil {
		return queue.Claimed{}, err
	}
	defer s.life.RUnlock()
	s.clock.begin(now)
	for {
		recorded := s.recorded.next()
		if err := s.failure(); err != nil {
			return fail(err)
		}
		if s.space.tooFullTo(finish) {
			return fail(queue.ErrFull)
		}
		f, err := s.find(deliveryID)
		if err != nil {
			return fail(err)
		}
		if f.damaged || f.noEvent {
			return fail(queue.ErrCorrupt)
		}
		c, again, err := s.takeOne(f, owner, now, until)
		if err != nil {
			return fail(err)
		}
		if !again {
			return c, nil
		}
		if !s.journal.toRecord(f.key) {
			continue // it has just changed
		}
		select {
		case <-recorded:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
}

// takeOne claims a delivery that was found. again is true if it must be found
// again: it has changed, or is about to be recorded.
func (s *Store) takeOne(f *found, owner string, now, until time.Time) (c queue.Claimed, again bool, err error) {
	l := f.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.retiring.includes(f.key.event()) {
		return c, false, queue.ErrNotFound
	}
	l.expire(s.clock.now())
	h := l.held[f.key]
	if h != nil {
		switch {
		case h.state != returned:
			return c, false, queue.ErrClaimed
		case !h.loaded && s.moved(f, false):
			return c, true, nil
		}
		l.takeReturned(h)
	} else {
		live, queued := l.forget(f.key)
		switch {
		case live != nil:
			h = &hold{key: f.key, entry: dueEntry{key: f.key}, live: live}
		case !f.recorded:
			return c, true, nil // with the journal, or just recorded
		default:
			h = &hold{key: f.key, class: f.record.class, entry: f.record.due(f.key)}
			if s.moved(f, queued) {
				return c, false, queue.ErrClaimed
			}
		}
	}
	if !h.loaded {
		h.record, h.event, h.loaded = f.record, &f.event, true
		h.record.last = nil
	}
	if ends := s.clock.now().Add(until.Sub(now)); ends.After(until) {
		until = ends
	}
	l.claim(h, owner, now, until, s.tokens.Add(1))
	return h.claimed(l), false, nil
}

// moved says whether a recorded delivery has changed since it was found: it
// was claimed and finished by somebody in between.
func (s *Store) moved(f *found, queued bool) bool {
	if queued {
		return false
	}
	moved := true
	_ = s.db.View(func(txn *badger.Txn) error {
		d, _, err := readDelivery(txn, f.lane.number, f.key)
		moved = err != nil || d.status != f.record.status || d.attempts != f.record.attempts || !d.nextAt.Equal(f.record.nextAt)
		return nil //nolint:nilerr // what cannot be read counts as moved
	})
	return moved
}

// takeReturned takes a hold out of the list of those given back. The caller holds
// mu.
func (l *lane) takeReturned(h *hold) {
	list := l.returned[h.class]
	for i, other := range list {
		if other == h {
			l.returned[h.class] = append(list[:i:i], list[i+1:]...)
			return
		}
	}
}
