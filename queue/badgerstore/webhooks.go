package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
)

// A recordChange is the request that puts or deletes a webhook record. The
// version is checked by the committer, so that changes cannot pass each other.
type recordChange struct {
	rec     queue.Record
	remove  bool
	version uint64 // set by write
	waiter  *waiter
}

func (r *recordChange) weight() (int, int64) {
	return 3, int64(len(r.rec.Data) + 4*(len(r.rec.WebhookID)+len(r.rec.ProjectID)) + 128)
}

func (r *recordChange) write(p *pack) error {
	old, err := readRecord(p.txn, r.rec.WebhookID)
	missing := errors.Is(err, queue.ErrNotFound)
	if err != nil && !missing && !errors.Is(err, queue.ErrCorrupt) {
		return err
	}
	if r.remove {
		if !missing {
			p.delete(keyOfRecord(r.rec.WebhookID))
			p.delete(append(ownedLead(old.ProjectID), r.rec.WebhookID...))
		}
		return nil
	}
	if err != nil && !missing {
		return err
	}
	if old.Version != r.rec.Version {
		return queue.ErrVersion
	}
	r.version = old.Version + 1
	if !missing && old.ProjectID != r.rec.ProjectID {
		p.delete(append(ownedLead(old.ProjectID), r.rec.WebhookID...))
	}
	key := keyOfRecord(r.rec.WebhookID)
	b := make([]byte, 4, 32+len(r.rec.ProjectID)+len(r.rec.Data))
	b = binary.AppendUvarint(b, r.version)
	b = appendString(b, r.rec.ProjectID)
	b = append(b, r.rec.Data...)
	p.set(key, seal(b, key))
	p.set(append(ownedLead(r.rec.ProjectID), r.rec.WebhookID...), nil)
	return nil
}

func (r *recordChange) apply(*pack)    {}
func (r *recordChange) done(err error) { r.waiter.finish(err) }

// PutRecord implements queue.Store.
func (s *Store) PutRecord(ctx context.Context, rec queue.Record) (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.life.RUnlock()
	switch {
	case s.space.tooFullTo(publish):
		return 0, queue.ErrFull
	case rec.WebhookID == "" || len(rec.WebhookID) > maxID || len(rec.ProjectID) > maxID:
		return 0, errors.New("put webhook record: id or project id is empty or too long")
	case len(rec.Data) > maxValue/2:
		return 0, fmt.Errorf("put record of webhook %s: %d bytes are too many", rec.WebhookID, len(rec.Data))
	}
	rec.Data = append([]byte{}, rec.Data...)
	r := &recordChange{rec: rec, waiter: s.expect(1)}
	if err := s.write(ctx, r, r.waiter); err != nil {
		return 0, fmt.Errorf("put record of webhook %s: %w", rec.WebhookID, err)
	}
	return r.version, nil
}

// DeleteRecord implements queue.Store.
func (s *Store) DeleteRecord(ctx context.Context, webhookID string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	if s.space.tooFullTo(finish) {
		return queue.ErrFull
	}
	r := &recordChange{rec: queue.Record{WebhookID: webhookID}, remove: true, waiter: s.expect(1)}
	if err := s.write(ctx, r, r.waiter); err != nil {
		return fmt.Errorf("delete record of webhook %s: %w", webhookID, err)
	}
	return nil
}

// Record implements queue.Store.
func (s *Store) Record(_ context.Context, webhookID string) (queue.Record, error) {
	if err := s.enter(); err != nil {
		return queue.Record{}, err
	}
	defer s.life.RUnlock()
	var rec queue.Record
	err := s.db.View(func(txn *badger.Txn) error {
		var err error
		rec, err = readRecord(txn, webhookID)
		return err
	})
	if err != nil {
		return queue.Record{}, fmt.Errorf("record of webhook %s: %w", webhookID, err)
	}
	return rec, nil
}

func readRecord(txn *badger.Txn, webhookID string) (queue.Record, error) {
	key := keyOfRecord(webhookID)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return queue.Record{}, queue.ErrNotFound
	}
	if err != nil {
		return queue.Record{}, err
	}
	rec := queue.Record{WebhookID: webhookID}
	err = item.Value(func(v []byte) error {
		rest, err := unseal(v, key)
		if err != nil {
			return queue.ErrCorrupt
		}
		r := reader{rest: rest}
		rec.Version = r.uint()
		rec.ProjectID = r.string()
		rec.Data = append([]byte{}, r.rest...)
		return r.err
	})
	return rec, err
}

// Records implements queue.Store. The cursor is the last webhook's id.
func (s *Store) Records(_ context.Context, projectID, cursor string, limit int) (recs []queue.Record, next string, err error) {
	if err := s.enter(); err != nil {
		return nil, "", err
	}
	defer s.life.RUnlock()
	lead := []byte{prefixRecord}
	if projectID != "" {
		lead = ownedLead(projectID)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over(lead))
		defer it.Close()
		for it.Seek(append(slices.Clip(lead), cursor...)); it.Valid(); it.Next() {
			id := string(it.Item().Key()[len(lead):])
			if id <= cursor {
				continue
			}
			if len(recs) >= max(limit, 1) {
				next = recs[len(recs)-1].WebhookID
				return nil
			}
			rec, err := readRecord(txn, id)
			if err != nil {
				return fmt.Errorf("webhook %s: %w", id, err)
			}
			recs = append(recs, rec)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("webhook records: %w", err)
	}
	return recs, next, nil
}
