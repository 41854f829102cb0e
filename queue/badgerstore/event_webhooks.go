package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
)

// EventWebhooks implements queue.Store. It looks at all targets of the event,
// because they are in the order of their numbers, but keeps only the page.
func (s *Store) EventWebhooks(_ context.Context, projectID, id, after string, limit int) ([]string, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	page := idPage{after: after, limit: max(limit, 1)}
	err := s.db.View(func(txn *badger.Txn) error {
		ek, _, err := locate(txn, eventID{project: projectID, id: id})
		if err != nil {
			return err
		}
		key := keyOfEvent(ek)
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			return eachTarget(v, key, func(t storedTarget) bool {
				if l := s.laneOf(t.number); l != nil { // else it is being retired
					page.add(l.id)
				}
				return true
			})
		})
	})
	if errors.Is(err, errDamaged) {
		err = queue.ErrCorrupt
	}
	if err != nil {
		return nil, fmt.Errorf("webhooks of event %s: %w", id, err)
	}
	return page.ids, nil
}

// An idPage collects the first ids that follow after, ascending.
type idPage struct {
	after string
	limit int
	ids   []string
}

func (p *idPage) add(id string) {
	if id <= p.after || len(p.ids) == p.limit && id > p.ids[p.limit-1] {
		return
	}
	at, _ := slices.BinarySearch(p.ids, id)
	p.ids = slices.Insert(p.ids, at, id)
	p.ids = p.ids[:min(len(p.ids), p.limit)]
}
