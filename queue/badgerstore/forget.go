package badgerstore

import (
	"context"
	"errors"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// forget drops the lanes of webhooks, by their numbers, that have neither a
// record nor a delivery any more. It is no loss if it fails: Retire and
// DeleteRecord, which call it, may find them another time.
func (s *Store) forget(ctx context.Context, numbers map[uint32]bool) {
	f := &forgetting{store: s}
	for number := range numbers {
		l := s.laneOf(number)
		if l == nil {
			continue
		}
		l.mu.Lock()
		idle, admitted := l.idle(), l.admitted
		l.mu.Unlock()
		if !idle {
			continue
		}
		used, err := s.used(l)
		if err != nil {
			s.log.Warn("cannot tell whether a webhook is still in use", zap.String("webhook_id", l.id), zap.Error(err))
			return
		}
		if !used {
			f.lanes = append(f.lanes, forgotten{l, admitted})
		}
	}
	if len(f.lanes) == 0 {
		return
	}
	f.waiter = s.expect(1)
	_ = s.write(ctx, f, f.waiter) // see above
}

// used says whether a webhook has a record or a delivery with one.
func (s *Store) used(l *lane) (used bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(keyOfRecord(queue.WebhookRecord, l.id))
		if !errors.Is(err, badger.ErrKeyNotFound) {
			used = true
			return err
		}
		// The newest come first: the oldest are deleted, and passed for nothing.
		return backwards(txn, deliveryLead(l.number), nil, func(_ deliveryKey, e entry) (bool, error) {
			used = used || !e.deleted
			return !used, nil
		})
	})
	return used, err
}

// idle says whether nothing of the webhook is in memory. The caller holds mu.
func (l *lane) idle() bool {
	return l.backlog == 0 && l.waiting == 0 && len(l.held) == 0 && len(l.live.items) == l.live.head
}

// A forgotten lane had no delivery when as many had been admitted.
type forgotten struct {
	*lane
	admitted uint64
}

// A forgetting is the request that drops lanes and their names.
type forgetting struct {
	store  *Store
	lanes  []forgotten
	waiter *waiter
}

func (r *forgetting) weight() (int, int64) { return len(r.lanes), int64(8 * len(r.lanes)) }
func (r *forgetting) done(err error)       { r.waiter.finish(err) }

func (r *forgetting) write(p *pack) error {
	for _, l := range r.lanes {
		l.mu.Lock()
		l.dropped = l.dropped || l.idle() && l.lane.admitted == l.admitted
		l.mu.Unlock()
		if l.dropped {
			p.delete(keyOfName(l.number))
		}
	}
	r.store.drops.Add(1)
	return nil
}

func (r *forgetting) apply(*pack) {
	s := r.store
	s.lanesMu.Lock()
	defer s.lanesMu.Unlock()
	for _, l := range r.lanes {
		if !l.dropped {
			continue
		}
		delete(s.numbers, l.number)
		if s.lanes[l.id] == l.lane {
			delete(s.lanes, l.id)
		}
	}
	s.drops.Add(1) // until now they could be looked up
}

// renew gives a publication new lanes in place of those that were dropped since
// it looked them up. It runs on the committer's goroutine and so writes their
// names itself, beside the event.
func (r *publication) renew(p *pack) error {
	if r.store.drops.Load() == r.drops {
		return nil
	}
	gone := false
	for i := range r.targets {
		gone = gone || r.targets[i].lane.dropped
	}
	if !gone {
		return nil
	}
	s := r.store
	s.lanesMu.Lock()
	for i := range r.targets {
		if old := r.targets[i].lane; old.dropped && s.lanes[old.id] == old {
			delete(s.lanes, old.id) // its removal is in this pack and not yet applied
		}
	}
	s.lanesMu.Unlock()
	before := make(map[*lane]bool, len(r.targets))
	r.pub.Targets = make([]queue.Target, len(r.targets)) // the caller's list may be another by now
	for i, t := range r.targets {
		before[t.lane] = true
		r.pub.Targets[i] = queue.Target{WebhookID: t.lane.id, Status: t.status, Reason: t.reason}
	}
	if err := r.encode(); err != nil {
		return err
	}
	var fresh []*lane
	for i := range r.targets {
		if l := r.targets[i].lane; !before[l] {
			fresh = append(fresh, l)
		}
	}
	return (&naming{fresh}).write(p)
}
