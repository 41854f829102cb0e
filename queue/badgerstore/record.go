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

// A recordChange is the request that puts or deletes a record. The
// version is checked by the committer, so that changes cannot pass each other.
type recordChange struct {
	rec     queue.Record
	remove  bool
	version uint64 // set by write
	waiter  *waiter
}

func (r *recordChange) weight() (int, int64) {
	return 3, int64(len(r.rec.Data) + 4*(len(r.rec.ID)+len(r.rec.ProjectID)) + 128)
}

func (r *recordChange) write(p *pack) error {
	old, err := readRecord(p.txn, r.rec.Kind, r.rec.ID)
	missing := errors.Is(err, queue.ErrNotFound)
	if err != nil && !missing && !errors.Is(err, queue.ErrCorrupt) {
		return err
	}
	if r.remove {
		if !missing {
			p.delete(keyOfRecord(r.rec.Kind, r.rec.ID))
			p.delete(append(ownedLead(r.rec.Kind, old.ProjectID), r.rec.ID...))
		}
		return nil
	}
	if old.Version != r.rec.Version {
		return queue.ErrVersion
	}
	r.version = old.Version + 1
	if !missing && old.ProjectID != r.rec.ProjectID {
		p.delete(append(ownedLead(r.rec.Kind, old.ProjectID), r.rec.ID...))
	}
	key := keyOfRecord(r.rec.Kind, r.rec.ID)
	b := make([]byte, 4, 32+len(r.rec.ProjectID)+len(r.rec.Data))
	b = binary.AppendUvarint(b, r.version)
	b = appendString(b, r.rec.ProjectID)
	b = append(b, r.rec.Data...)
	p.set(key, seal(b, key))
	p.set(append(ownedLead(r.rec.Kind, r.rec.ProjectID), r.rec.ID...), nil)
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
	case rec.Kind == "" || len(rec.Kind) > maxID || rec.ID == "" || len(rec.ID) > maxID || len(rec.ProjectID) > maxID:
		return 0, errors.New("put record: kind or id is empty, or one of them or the project id is too long")
	case len(rec.Data) > maxValue/2:
		return 0, fmt.Errorf("put %s record %s: %d bytes are too many", rec.Kind, rec.ID, len(rec.Data))
	}
	rec.Data = append([]byte{}, rec.Data...)
	r := &recordChange{rec: rec, waiter: s.expect(1)}
	if err := s.write(ctx, r, r.waiter); err != nil {
		return 0, fmt.Errorf("put %s record %s: %w", rec.Kind, rec.ID, err)
	}
	return r.version, nil
}

// DeleteRecord implements queue.Store.
func (s *Store) DeleteRecord(ctx context.Context, kind queue.RecordKind, id string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.life.RUnlock()
	if s.space.tooFullTo(finish) {
		return queue.ErrFull
	}
	r := &recordChange{rec: queue.Record{Kind: kind, ID: id}, remove: true, waiter: s.expect(1)}
	if err := s.write(ctx, r, r.waiter); err != nil {
		return fmt.Errorf("delete %s record %s: %w", kind, id, err)
	}
	if l := s.lane(id); l != nil && kind == queue.WebhookRecord {
		s.forget(ctx, map[uint32]bool{l.number: true})
	}
	return nil
}

// Record implements queue.Store.
func (s *Store) Record(_ context.Context, kind queue.RecordKind, id string) (queue.Record, error) {
	if err := s.enter(); err != nil {
		return queue.Record{}, err
	}
	defer s.life.RUnlock()
	var rec queue.Record
	err := s.db.View(func(txn *badger.Txn) error {
		var err error
		rec, err = readRecord(txn, kind, id)
		return err
	})
	if err != nil {
		return queue.Record{}, fmt.Errorf("%s record %s: %w", kind, id, err)
	}
	return rec, nil
}

func readRecord(txn *badger.Txn, kind queue.RecordKind, id string) (queue.Record, error) {
	key := keyOfRecord(kind, id)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return queue.Record{}, queue.ErrNotFound
	}
	if err != nil {
		return queue.Record{}, err
	}
	rec := queue.Record{Kind: kind, ID: id}
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

// Records implements queue.Store.
func (s *Store) Records(_ context.Context, kind queue.RecordKind, projectID, cursorText string, limit int) (page queue.RecordPage, err error) {
	if err := s.enter(); err != nil {
		return page, err
	}
	defer s.life.RUnlock()
	list := listOfRecords(kind, projectID)
	after, err := parseCursor(list, cursorText)
	if err != nil {
		return page, fmt.Errorf("%s records: %w", kind, err)
	}
	lead := recordLead(kind)
	if projectID != "" {
		lead = ownedLead(kind, projectID)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over(lead))
		defer it.Close()
		last := ""
		for it.Seek(append(slices.Clip(lead), after...)); it.Valid(); it.Next() {
			id := string(it.Item().Key()[len(lead):])
			if id <= string(after) {
				continue
			}
			if len(page.Records)+len(page.Damaged) >= max(limit, 1) {
				page.Next = cursor(list, []byte(last))
				return nil
			}
			rec, err := readRecord(txn, kind, id)
			if leftover(rec, err, projectID) {
				continue
			}
			last = id
			switch {
			case errors.Is(err, queue.ErrCorrupt):
				page.Damaged = append(page.Damaged, id)
			case err != nil:
				return fmt.Errorf("record %s: %w", id, err)
			default:
				page.Records = append(page.Records, rec)
			}
		}
		return nil
	})
	if err != nil {
		return queue.RecordPage{}, fmt.Errorf("%s records: %w", kind, err)
	}
	return page, nil
}

// leftover says whether an entry of a project's list has no record of that
// project behind it: the list of a record that was damaged cannot be found, so
// its entry stays when the record is replaced or deleted.
func leftover(rec queue.Record, err error, projectID string) bool {
	return errors.Is(err, queue.ErrNotFound) || err == nil && projectID != "" && rec.ProjectID != projectID
}

// EventProjects implements queue.Store.
func (s *Store) EventProjects(_ context.Context, eventID string, limit int) (projects []string, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	if eventID == "" || len(eventID) > maxID {
		return nil, nil
	}
	lead := idLead(eventID)
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over(lead))
		defer it.Close()
		for it.Rewind(); it.Valid() && len(projects) < max(limit, 1); it.Next() {
			there := false
			err := it.Item().Value(func(v []byte) error {
				_, err := txn.Get(append([]byte{prefixEvent}, v...))
				there = err == nil
				return nil // the entry of an event that is gone counts for nothing
			})
			if err != nil {
				return err
			}
			if there {
				projects = append(projects, string(it.Item().Key()[len(lead):]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("projects of event %s: %w", eventID, err)
	}
	return projects, nil
}
