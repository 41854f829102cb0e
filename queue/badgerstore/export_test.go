package badgerstore

import (
	"os"
	"runtime"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// What tests do to a store behind its back.

// BreakDatabase makes the next commit fail.
func BreakDatabase(s *Store) error { return s.db.Close() }

// AwaitHighWater waits until the high-water mark has all that is committed.
func AwaitHighWater(s *Store) error {
	for seq := s.committed.Load().seq; ; time.Sleep(10 * time.Millisecond) {
		if high, err := readHighWater(s.opts.Dir); err != nil || high.Pack >= seq {
			return err
		}
	}
}

// PutOffOld takes two looks at the journal, as they are taken every minute.
func PutOffOld(s *Store) {
	var k keeper // the store's own is at work
	for range 2 {
		k.rounds = putOffRounds
		k.putOffOld(s)
	}
}

// Live counts the live events.
func Live(s *Store) int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	n := 0
	for _, e := range s.journal.events {
		if e != nil {
			n++
		}
	}
	return n
}

// MeasureSpace does now what is done every second.
func MeasureSpace(s *Store) error { return s.space.measure(&s.opts) }

// TidyUp does now what is done in quiet time.
func TidyUp(s *Store) { s.merge() }

// DiskUse returns the bytes of a file that are no hole.
func DiskUse(name string) (sum int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return 0, err
	}
	const block = 4096
	for at := nextData(f, 0); at < info.Size(); at = nextData(f, at+block) {
		sum += block
	}
	return sum, nil
}

// FlipInDelivery changes a bit of a delivery's record.
func FlipInDelivery(s *Store, id string) error {
	f, err := s.find(id)
	if err != nil {
		return err
	}
	return s.flip(keyOfDelivery(f.lane.number, f.key))
}

// FlipInEvent changes a bit of the record of a delivery's event.
func FlipInEvent(s *Store, id string) error {
	k, _ := parseID(id)
	return s.flip(keyOfEvent(k.event()))
}

// DeleteListed deletes the entries of a webhook's list by status, as if all its
// deliveries had come to another one.
func DeleteListed(s *Store, webhookID string, status webhook.Status) error {
	lead := statusLead(s.lane(webhookID).number, status)
	for {
		var keys [][]byte
		err := s.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(over(lead))
			defer it.Close()
			for it.Rewind(); it.Valid() && len(keys) < 1000; it.Next() {
				keys = append(keys, it.Item().KeyCopy(nil))
			}
			return nil
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		err = s.db.Update(func(txn *badger.Txn) error {
			for _, key := range keys {
				if err := txn.Delete(key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// FlipInTargets changes a bit of the list of targets of a delivery's event.
func FlipInTargets(s *Store, id string) error {
	k, _ := parseID(id)
	return s.db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(keyOfEvent(k.event()))
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		v[len(v)-1] ^= 4
		return txn.Set(keyOfEvent(k.event()), v)
	})
}

// Lanes counts the webhooks that the store knows, in memory and on disk.
func Lanes(s *Store) (lanes, names int, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over([]byte{prefixName}))
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			names++
		}
		return nil
	})
	return len(s.allLanes()), names, err
}

// Scrub reads the whole store now.
func Scrub(s *Store) { s.scrub() }

// CopySparse copies a file but for its holes.
func CopySparse(to, from string) error { return copySparse(to, from) }

// ScanPerPage makes pages look at n entries only.
func ScanPerPage(s *Store, n int) { s.scan = n }

// AwaitWaiting waits until at least n bytes of publications wait.
func AwaitWaiting(s *Store, n int64) {
	for s.waiting.used.Load() < n {
		runtime.Gosched()
	}
}

// ContextBytes returns the size of what is cached of projects.
func ContextBytes(s *Store) (sum int) {
	s.contexts.mu.RLock()
	defer s.contexts.mu.RUnlock()
	for _, value := range s.contexts.values {
		sum += len(value)
	}
	return sum
}

// AwaitQueued waits until a publication waits for the committer.
func AwaitQueued(s *Store) {
	for queued := 0; queued == 0; runtime.Gosched() {
		s.inbox.mu.Lock()
		queued = len(s.inbox.publications)
		s.inbox.mu.Unlock()
	}
}

// AwaitRecordedWaiters waits until somebody waits for deliveries to be recorded.
func AwaitRecordedWaiters(s *Store) {
	for waits := false; !waits; runtime.Gosched() {
		s.recorded.mu.Lock()
		waits = s.recorded.ch != nil
		s.recorded.mu.Unlock()
	}
}

// FailFinish is a Finish that fails before anything is written, while another
// call lets claims end by the given time.
func FailFinish(s *Store, c queue.Claim, now time.Time) error {
	l := s.lane(c.WebhookID)
	k, _ := parseID(c.DeliveryID)
	h, err := l.beginFinish(k, c.Token, queue.Result{Status: webhook.Delivered})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.expire(now)
	l.mu.Unlock()
	l.undoFinish(h)
	return nil
}

// TakeOneAfter is the second half of a ClaimOne, after what fn does.
func TakeOneAfter(s *Store, id string, now time.Time, fn func()) (again bool, err error) {
	f, err := s.find(id)
	if err != nil {
		return false, err
	}
	fn()
	_, again, err = s.takeOne(f, "tests", now, now.Add(time.Minute))
	return again, err
}

// Settle waits until the journal has recorded what it is about to.
func Settle(s *Store) error {
	s.settleDown()
	return s.failure()
}

// Entries returns the keys of all that belongs to events.
func Entries(s *Store) (keys []string, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			switch key := it.Item().Key(); key[0] {
			case prefixEvent, prefixID, prefixProject, prefixDelivery, prefixAttempt, prefixDue, prefixStatus:
				keys = append(keys, string(key))
			}
		}
		return nil
	})
	return keys, err
}

// FlipInRecord changes a bit of a record.
func FlipInRecord(s *Store, kind queue.RecordKind, id string) error {
	return s.flip(keyOfRecord(kind, id))
}

func (s *Store) flip(key []byte) error {
	return s.db.Update(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		v, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		v[20] ^= 4
		return txn.Set(key, v)
	})
}

// AddLeftover adds an entry to the due index of a delivery that does not ask
// for it, as if a deletion had been undone.
func AddLeftover(s *Store, id string, due time.Time) error {
	f, err := s.find(id)
	if err != nil {
		return err
	}
	return s.db.Update(func(txn *badger.Txn) error {
		return txn.Set(keyOfDue(f.lane.number, retries, dueEntry{dueNanos(due), f.key}), nil)
	})
}
