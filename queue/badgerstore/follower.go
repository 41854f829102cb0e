package badgerstore

import (
	"errors"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/queue"
)

// A follower reads the records that an index names, newest first. Where the
// index names most of the records, as while a receiver is down, it goes through
// them beside the index, at a fraction of the cost of looking each up. Where
// they lie far apart it looks them up.
type follower struct {
	txn    *badger.Txn
	number uint32

	records *descent[deliveryKey] // nil before the first read
	steps   int                   // that it may still take
	lost    bool                  // it has none left, or is at the end
}

// A step costs about a tenth of looking a record up.
const (
	firstSteps = 16 // before the follower shows whether it is of use
	moreSteps  = 6  // for each record
)

func (f *follower) close() {
	if f.records != nil {
		f.records.close()
	}
}

// read is readDelivery.
func (f *follower) read(k deliveryKey) (d deliveryRecord, exists bool, err error) {
	if !f.reach(k) {
		return readDelivery(f.txn, f.number, k)
	}
	d, err = decodeDelivery(f.records.entry.value, f.records.entry.key)
	if errors.Is(err, errDamaged) {
		err = queue.ErrCorrupt
	}
	return d, true, err
}

// reach goes to a record, and returns false if the record must be looked up.
func (f *follower) reach(k deliveryKey) bool {
	if f.records == nil {
		after := k.successor()
		f.records = descend(f.txn, deliveryLead(f.number), &after)
		f.steps = firstSteps
		f.lost = !f.records.next()
	}
	f.steps += moreSteps
	for !f.lost && f.records.key.compare(k) > 0 {
		f.steps--
		f.lost = f.steps < 0 || !f.records.next()
	}
	return !f.lost && f.records.key == k && !f.records.entry.deleted
}
