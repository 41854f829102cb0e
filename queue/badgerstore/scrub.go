package badgerstore

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// A scrub reads all that is stored and compares it with its checksums, so that
// damage is told while there is still a backup without it. It is ours, not
// Badger's VerifyChecksum, which cannot be stopped, takes all of a core, stops
// at the first fault and panics for some.
type scrub struct {
	rounds  int  // of the keeper, since the last one began
	started bool // one did, since the store was opened
	running atomic.Bool
	last    atomic.Pointer[scrubbed]
}

// scrubbed is what a scrub has found.
type scrubbed struct {
	at      time.Time
	damaged int64
}

const (
	// firstScrub and scrubEvery are the rounds of the keeper before the first
	// scrub and between two; scrubPatience is how many more it waits for quiet
	// time.
	firstScrub    = 3600
	scrubEvery    = 24 * 3600
	scrubPatience = 6 * 3600

	// scrubStep is how many bytes are read in one transaction. After each it
	// rests for scrubRest times as long as that took.
	scrubStep = 256 << 10
	scrubRest = 9

	// scrubTold is how many damaged records are logged one by one.
	scrubTold = 20
)

// scrubIfDue starts a scrub when it is time and quiet. The keeper calls it.
func (s *Store) scrubIfDue() {
	sc := &s.keeper.scrub
	sc.rounds++
	wait := scrubEvery
	if !sc.started {
		wait = firstScrub
	}
	if sc.rounds < wait || s.keeper.quiet < quietRounds && sc.rounds < wait+scrubPatience {
		return
	}
	if !sc.running.CompareAndSwap(false, true) {
		return
	}
	sc.rounds, sc.started = 0, true
	s.running.Go(func() {
		defer sc.running.Store(false)
		s.scrub()
	})
}

// scrub reads the whole store once, or until the store is closed.
func (s *Store) scrub() {
	debug.SetPanicOnFault(true) // a sector that cannot be read must not kill the process
	began := time.Now()
	r := scrubbing{store: s}
	for more := true; more; {
		step := time.Now()
		var err error
		if more, err = r.step(); err != nil {
			s.log.Error("cannot read all of the store; its disk may be failing", zap.Error(err), zap.Binary("after_key", r.next))
			r.damaged++
			break
		}
		select {
		case <-time.After(scrubRest * time.Since(step)):
		case <-s.stopAll:
			return
		}
	}
	s.keeper.scrub.last.Store(&scrubbed{at: time.Now(), damaged: r.damaged})
	if r.damaged > 0 {
		s.log.Error("store has damaged records; what belongs to them is not sent", zap.Int64("damaged", r.damaged))
		return
	}
	s.log.Info("all that is stored matches its checksums", zap.Int64("records", r.records), zap.Duration("took", time.Since(began)))
}

// A scrubbing is a scrub under way.
type scrubbing struct {
	store            *Store
	next             []byte // the key to go on at
	records, damaged int64
}

// step reads on for a while. more says whether it has not come to the end.
func (r *scrubbing) step() (more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			more, err = false, fmt.Errorf("database panicked: %v", p)
		}
	}()
	err = r.store.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		read := int64(0)
		for it.Seek(r.next); it.Valid(); it.Next() {
			item := it.Item()
			if read > scrubStep {
				more = true
				return nil
			}
			r.next = append(item.KeyCopy(r.next), 0)
			err := item.Value(func(v []byte) error {
				read += int64(len(r.next) + len(v))
				r.check(r.next[:len(r.next)-1], v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}

// check compares a record with its checksum.
func (r *scrubbing) check(key, value []byte) {
	r.records++
	if intact(key, value) {
		return
	}
	if r.damaged++; r.damaged <= scrubTold {
		r.store.log.Error("record is damaged on disk", zap.String("kind", string(key[:1])), zap.Binary("key", bytes.Clone(key)))
	}
}

// intact says whether an entry is as it was written, as far as it can tell.
func intact(key, value []byte) bool {
	switch key[0] {
	case prefixEvent:
		_, err := decodeEvent(value, key)
		return err == nil && eachTarget(value, key, func(storedTarget) bool { return true }) == nil
	case prefixDelivery, prefixAttempt, prefixRecord, prefixContext, prefixMeta:
		_, err := unseal(value, key)
		return err == nil
	case prefixID:
		return len(value) == len(eventKey{})
	case prefixDue:
		_, _, _, err := parseDue(key)
		return err == nil
	default:
		return true
	}
}
