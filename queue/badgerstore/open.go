package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Open opens the store in o.Dir, or makes one. It refuses where another
// process has it open or too little space is free. What a crash interrupted is
// taken up again; what it lost, if anything, is in Stats.Lost.
//
// The store runs goroutines of its own until Close.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		opts:    o,
		log:     o.Logger,
		scan:    scanPerPage,
		lanes:   make(map[string]*lane),
		numbers: make(map[uint32]*lane),
		inbox:   inbox{wake: make(chan struct{}, 1)},
		closing: make(chan struct{}),
		stopAll: make(chan struct{}),
		commits: make(chan struct{}),
	}
	s.tokens.Store(rand.Uint64()) // not those of an earlier process
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	s.running.Add(2)
	go s.commitLoop(s.commits)
	go s.keep()
	return s, nil
}

func (s *Store) open() error {
	dir := s.opts.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := tryLock(dir); err != nil {
		return err
	}
	if err := s.space.check(&s.opts); err != nil {
		return err
	}
	high, err := readHighWater(dir)
	if err != nil {
		s.log.Warn("cannot read the high-water mark; what a crash has lost would go unnoticed", zap.Error(err))
	}
	if err := removeEmptyLogs(dir); err != nil {
		return fmt.Errorf("remove empty write-ahead logs: %w", err)
	}
	unclean, err := wasUnclean(dir)
	if err != nil {
		return err
	}
	if unclean {
		s.log.Warn("store was not closed in order; checking it", zap.String("dir", dir))
		if err := setAside(dir, time.Now()); err != nil {
			return fmt.Errorf("set write-ahead log aside: %w", err)
		}
	}
	if s.db, err = openFounded(s.opts.badger()); err != nil {
		return err
	}
	// Badger counts more than we do, so stay clear of its limits.
	s.maxEntries = int(s.db.MaxBatchCount() * 9 / 10)
	s.maxBytes = s.db.MaxBatchSize() * 9 / 10
	if err := s.readState(high); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// openFounded opens the database and, where it is new, lays down the layout's
// version in the deepest level. It stays there: Badger's Flatten leaves a store
// alone that has nothing but level 0, however much of that was deleted.
func openFounded(o badger.Options) (*badger.DB, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, manifestFile)); errors.Is(err, fs.ErrNotExist) {
		return layDown(o)
	}
	db, err := openBadger(o)
	if err != nil {
		return nil, err
	}
	err = db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(layoutKey)
		return err
	})
	if err == nil {
		return db, nil
	}
	if closeErr := db.Close(); !errors.Is(err, badger.ErrKeyNotFound) || closeErr != nil {
		return nil, errors.Join(err, closeErr)
	}
	return layDown(o) // it was interrupted
}

// layDown lays down the layout's version, and opens the database.
func layDown(o badger.Options) (*badger.DB, error) {
	db, err := openBadger(o.WithCompactL0OnClose(true))
	if err != nil {
		return nil, err
	}
	err = db.Update(func(txn *badger.Txn) error { return txn.Set(layoutKey, []byte{layoutVersion}) })
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return openBadger(o)
}

// openBadger turns the panics of Badger's Open into errors.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("database panicked: %v", r)
		}
	}()
	db, err = badger.Open(o)
	if err != nil && strings.Contains(err.Error(), "directory lock") {
		err = errLocked
	}
	return db, err
}

var errLocked = errors.New("another process has it open: stop that process, or give each its own directory")

// readState builds the memory from what is stored.
func (s *Store) readState(high highWater) error {
	err := s.db.View(func(txn *badger.Txn) error {
		if err := s.readMeta(txn); err != nil {
			return err
		}
		if err := s.readNames(txn); err != nil {
			return err
		}
		return s.readDue(txn)
	})
	if err != nil {
		return err
	}
	if high.Pack > s.meta.seq {
		s.lost = high.Pack - s.meta.seq
		s.log.Error("acknowledged commits are missing: the write-ahead log was damaged, or files were put back from an older copy; the logs as found are kept aside",
			zap.Uint64("lost_commits", s.lost), zap.Uint64("last_found", s.meta.seq), zap.Uint64("last_known", high.Pack), zap.String("aside", filepath.Join(s.opts.Dir, asideDir+"*")))
		s.meta.seq = high.Pack
	}
	s.keeper.saved, s.keeper.seen, s.keeper.flattened = high.Pack, s.meta.seq, s.meta.seq
	s.journal.newest = s.meta.lastKey
	if err := s.readJournal(); err != nil {
		return err
	}
	s.countPending()
	s.committed.Store(&committed{seq: s.meta.seq, counts: s.meta.counts})
	return nil
}

func (s *Store) readMeta(txn *badger.Txn) error {
	item, err := txn.Get(metaKey)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return item.Value(func(v []byte) error {
		m, err := decodeMeta(v)
		if err != nil {
			return fmt.Errorf("state record: %w", err)
		}
		s.meta = m
		s.next = m.nextNumber
		return nil
	})
}

func (s *Store) readNames(txn *badger.Txn) error {
	it := txn.NewIterator(over([]byte{prefixName}))
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		number := binary.BigEndian.Uint32(it.Item().Key()[1:])
		err := it.Item().Value(func(v []byte) error {
			l := &lane{id: string(v), number: number}
			s.lanes[l.id], s.numbers[number] = l, l
			return nil
		})
		if err != nil {
			return err
		}
		s.next = max(s.next, number+1)
	}
	return nil
}

// readDue counts what is pending. It reads the whole due index, keys only:
// less than a second for a million deliveries.
func (s *Store) readDue(txn *badger.Txn) error {
	it := txn.NewIterator(over([]byte{prefixDue}))
	defer it.Close()
	strays := 0
	for it.Rewind(); it.Valid(); it.Next() {
		number, c, e, err := parseDue(it.Item().Key())
		l := s.numbers[number]
		if err != nil || l == nil {
			strays++
			continue
		}
		l.backlog++
		s.backlog.Add(1)
		if w := &l.windows[c]; !w.more {
			w.more, w.hint = true, e
		}
	}
	if strays > 0 {
		s.log.Error("pending deliveries of unknown webhooks found; they are not sent", zap.Int("count", strays))
	}
	return nil
}

// readJournal takes up the deliveries that have no record.
func (s *Store) readJournal() error {
	return s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over([]byte{prefixEvent}))
		defer it.Close()
		for it.Seek(keyOfEvent(s.meta.lowWater)); it.Valid(); it.Next() {
			e, err := s.revive(txn, it.Item())
			if err != nil {
				return err
			}
			if e != nil && e.open > 0 {
				s.journal.mu.Lock()
				s.admit(e)
				s.journal.mu.Unlock()
			}
		}
		s.news = nil // nobody watches yet
		return nil
	})
}

// revive reads an event back for the journal; nil if its targets are not to be
// known. If it is only the event itself that is damaged, its deliveries are to
// be recorded as corrupt.
func (s *Store) revive(txn *badger.Txn, item *badger.Item) (*liveEvent, error) {
	key := item.KeyCopy(nil)
	k := eventKey(key[1:])
	e := &liveEvent{key: k}
	err := item.Value(func(v []byte) error {
		stored, err := decodeEvent(v, key)
		if err == nil {
			e.event, e.test = &stored.event, stored.test
		} else {
			e.event, e.was = &webhook.Event{ReceivedAt: k.time()}, []webhook.Status{}
		}
		return eachTarget(v, key, func(t storedTarget) bool {
			e.targets = append(e.targets, s.revived(e, t))
			return true
		})
	})
	if errors.Is(err, errDamaged) {
		s.log.Error("event is damaged on disk; what was not yet sent of it is not sent, and nobody knows what that was",
			zap.String("event_id", e.event.ID), zap.String("project_id", e.event.ProjectID), zap.Time("received", k.time()))
		s.unknown = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if e.was != nil {
		s.log.Error("event is damaged on disk; its deliveries are not sent", zap.Time("received", k.time()), zap.Int("deliveries", len(e.targets)))
	}
	for i := range e.targets {
		t := &e.targets[i]
		_, err := txn.Get(keyOfDelivery(t.lane.number, k.delivery(i)))
		switch {
		case err == nil:
			t.state = recorded
		case errors.Is(err, badger.ErrKeyNotFound) && t.state != recorded:
			e.open++
		case !errors.Is(err, badger.ErrKeyNotFound):
			return nil, err
		}
	}
	return e, nil
}

// revived returns a target of a journal's event as it was stored.
func (s *Store) revived(e *liveEvent, t storedTarget) target {
	l := s.numbers[t.number]
	if l == nil {
		s.log.Error("an event has a delivery to an unknown webhook; it is not sent", zap.String("event_id", e.event.ID))
		s.unknown = true
		return target{lane: &lane{number: t.number}, status: t.status, state: recorded}
	}
	if e.was == nil {
		return target{lane: l, status: t.status, reason: t.reason}
	}
	e.was = append(e.was, t.status)
	return target{lane: l, status: webhook.Corrupt, reason: damagedEvent}
}

// countPending counts anew where damage has hidden deliveries that were pending.
func (s *Store) countPending() {
	if !s.unknown {
		return
	}
	pending := s.backlog.Load()
	for _, e := range s.journal.events {
		for i, t := range e.targets {
			if i < len(e.was) && e.was[i] == webhook.Pending && t.state != recorded {
				pending++ // until it is recorded as corrupt
			}
		}
	}
	s.meta.counts[statusByte(webhook.Pending)] = pending
}

// shutdown ends the goroutines and closes the database. No call is under way.
func (s *Store) shutdown() error {
	close(s.commits)
	close(s.stopAll)
	s.running.Wait()
	s.tidied()
	saved := s.saveHighWater()
	err := errors.Join(saved, s.db.Close())
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.opts.Dir, err)
	}
	if s.failure() != nil {
		return nil //nolint:nilerr // it is closed, but not in order: the next start looks
	}
	if err := replaceFile(filepath.Join(s.opts.Dir, cleanFile), []byte("closed in order\n")); err != nil {
		return fmt.Errorf("close store %s: %w", s.opts.Dir, err)
	}
	return nil
}
