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

// Finish implements queue.Store.
func (s *Store) Finish(ctx context.Context, c queue.Claim, r queue.Result) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	if s.space.tooFullTo(finish) {
		return queue.ErrFull
	}
	l := s.lane(c.WebhookID)
	k, ok := parseID(c.DeliveryID)
	if l == nil || !ok {
		return queue.ErrClaimLost
	}
	h, err := l.beginFinish(k, c.Token, r)
	if err != nil {
		return fmt.Errorf("finish delivery %s: %w", c.DeliveryID, err)
	}
	submitted := false
	defer func() {
		if !submitted { // nothing was done: the claim goes on
			l.undoFinish(h)
		}
	}()
	d := h.result(r)
	var previous []byte
	if h.record.attempts > 0 {
		if previous, err = s.lastAttempt(l.number, k); err != nil {
			return fmt.Errorf("finish delivery %s: %w", c.DeliveryID, err)
		}
	}
	if r.Attempt != nil {
		d.last = encodeAttempt(make([]byte, 0, 128+len(r.Attempt.ResponseBody)), r.Attempt)
	} else {
		d.last, previous = previous, nil
	}
	submitted = true
	return s.settle(ctx, l, h, d, previous)
}

// beginFinish checks a result and takes the claim for it, so that no other
// call ends it.
func (l *lane) beginFinish(k deliveryKey, token uint64, r queue.Result) (*hold, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[k]
	if h == nil || h.state != claimed || h.token != token {
		return nil, queue.ErrClaimLost
	}
	if !slices.Contains(webhook.Statuses, r.Status) {
		return nil, fmt.Errorf("%q is no status", r.Status)
	}
	if (r.Status == webhook.Pending) == r.NextAttemptAt.IsZero() {
		return nil, errors.New("a next attempt goes with status pending, and only with it")
	}
	if r.Attempt != nil && r.Attempt.Number != h.record.attempts+1 {
		return nil, fmt.Errorf("attempt number %d follows %d", r.Attempt.Number, h.record.attempts)
	}
	h.state = finishing
	return h, nil
}

// undoFinish lets the claim go on.
func (l *lane) undoFinish(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.state = claimed
	l.expireAt(h.until)
}

// result returns the record of a claimed delivery after r, without attempts.
func (h *hold) result(r queue.Result) deliveryRecord {
	d := h.record
	d.status, d.reason, d.step, d.class = r.Status, r.Reason, r.Step, retries
	d.nextAt = r.NextAttemptAt
	at := h.since
	if a := r.Attempt; a != nil {
		d.attempts = a.Number
		at = a.StartedAt.Add(a.Duration)
	}
	if !r.At.IsZero() {
		at = r.At
	}
	switch {
	case d.status == webhook.Pending:
		d.finishedAt = time.Time{}
	case h.record.status == webhook.Pending || h.record.status != d.status:
		d.finishedAt = at
	}
	if r.Replay {
		d.replayedAt = at
	}
	return d
}

// lastAttempt reads the encoded latest attempt of a delivery; nil if there is
// none.
func (s *Store) lastAttempt(number uint32, k deliveryKey) ([]byte, error) {
	var last []byte
	err := s.db.View(func(txn *badger.Txn) error {
		d, _, err := readDelivery(txn, number, k)
		last = d.last
		return err
	})
	return last, err
}

// settle stores the new record of a held delivery. previous is the attempt
// that moves out of the record.
func (s *Store) settle(ctx context.Context, l *lane, h *hold, d deliveryRecord, previous []byte) error {
	f := &outcome{
		store:    s,
		lane:     l,
		hold:     h,
		record:   d,
		encoded:  d.encode(keyOfDelivery(l.number, h.key)),
		previous: previous,
		was:      h.record.status,
	}
	if !h.loaded {
		f.was = webhook.Pending // it was in the due index
	}
	f.waiter = s.expect(1)
	return s.write(ctx, f, f.waiter)
}

// An outcome is the request that stores what came of a claim.
type outcome struct {
	store    *Store
	lane     *lane
	hold     *hold
	record   deliveryRecord
	encoded  []byte
	previous []byte
	was      webhook.Status
	waiter   *waiter
}

func (f *outcome) weight() (int, int64) {
	return 7, int64(len(f.encoded) + len(f.previous) + 512)
}

func (f *outcome) write(p *pack) error {
	h, l := f.hold, f.lane
	var old *placed
	if h.live == nil || f.settleLive() {
		old = &placed{status: f.was, class: h.class, due: h.entry}
	}
	p.setDelivery(l.number, h.key, old, &f.record, f.encoded)
	if len(f.previous) > 0 {
		key := keyOfAttempt(h.key, f.hold.record.attempts)
		p.set(key, seal(append(make([]byte, 4, 4+len(f.previous)), f.previous...), key))
	}
	p.meta.counts.add(f.was, -1)
	p.meta.counts.add(f.record.status, 1)
	return nil
}

// settleLive makes sure that the journal does not record the delivery after
// this outcome, and returns whether it has done so before.
func (f *outcome) settleLive() bool {
	e, ordinal := f.hold.live, f.hold.key.ordinal()
	t := &e.targets[ordinal]
	if t.state == recorded {
		return true
	}
	f.store.journal.mu.Lock()
	defer f.store.journal.mu.Unlock()
	if t.state == toRecord {
		e.toWrite--
	}
	t.state = ending
	return false
}

func (f *outcome) apply(*pack) {
	s, l, h := f.store, f.lane, f.hold
	if h.live != nil {
		s.journal.record(h.live, h.key.ordinal())
	}
	pending := f.record.status == webhook.Pending
	l.mu.Lock()
	if h.live != nil {
		l.live.remove(h.key)
	}
	if l.held[h.key] == h {
		delete(l.held, h.key)
	}
	change := 0
	if f.was == webhook.Pending {
		change--
	}
	if pending {
		change++
		l.windows[retries].insert(f.record.due(h.key))
	}
	l.backlog += change
	l.mu.Unlock()
	s.backlog.Add(int64(change))
	if pending {
		s.news = append(s.news, news{l.id, f.record.nextAt})
	}
}

func (f *outcome) done(err error) { f.waiter.finish(err) }
