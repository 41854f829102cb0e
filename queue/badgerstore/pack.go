package badgerstore

import (
	badger "github.com/dgraph-io/badger/v4"

	"github.com/tengineai/webhook-gateway/webhook"
)

// A request is something that the committer writes and then applies to the
// memory. All methods run on the committer's goroutine.
type request interface {
	// weight bounds what write writes: entries, and bytes of keys and values.
	weight() (entries int, bytes int64)

	// write adds the request to a pack. An error refuses this request alone;
	// nothing may have been written then.
	write(p *pack) error

	// apply follows a successful commit.
	apply(p *pack)

	// done ends the request: err is nil after apply.
	done(err error)
}

// A pack is what goes into one transaction.
type pack struct {
	store    *Store
	txn      *badger.Txn
	meta     meta // becomes the store's if the commit succeeds
	requests []request
	entries  int
	bytes    int64
	err      error // the first error of set or delete; fatal

	// contexts holds what this pack remembers of projects.
	contexts map[string][]byte

	// recording lists the journal's deliveries that get records in this pack.
	recording []recording

	arena []byte         // key space
	slab  []badger.Entry // entries, handed out one by one
}

// entryOverhead is what Badger counts for an entry beside key and value.
const entryOverhead = 16

// reset prepares p for the next transaction and keeps its memory.
func (p *pack) reset(txn *badger.Txn) {
	clear(p.requests)
	clear(p.recording)
	p.txn = txn
	p.meta = p.store.meta
	p.requests = p.requests[:0]
	p.recording = p.recording[:0]
	p.entries, p.bytes, p.err = 1, 256, nil
	p.contexts = nil
	p.arena = p.arena[:0]
	clear(p.slab)
	p.slab = p.slab[:0]
}

// fits says whether a request of the given weight still goes into the pack.
func (p *pack) fits(entries int, bytes int64) bool {
	bytes += int64(entries) * entryOverhead
	return p.entries+entries <= p.store.maxEntries && p.bytes+bytes <= p.store.maxBytes
}

// set writes an entry. key may be reused after the call; value must not be
// changed before the pack is committed.
func (p *pack) set(key, value []byte) {
	p.entries++
	p.bytes += int64(len(key)+len(value)) + entryOverhead
	e := p.entry()
	e.Key, e.Value = p.keep(key), value
	if err := p.txn.SetEntry(e); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *pack) delete(key []byte) {
	p.entries++
	p.bytes += int64(len(key)) + entryOverhead
	if err := p.txn.Delete(p.keep(key)); err != nil && p.err == nil {
		p.err = err
	}
}

// entry returns an empty entry that lives until reset.
func (p *pack) entry() *badger.Entry {
	if len(p.slab) == cap(p.slab) {
		p.slab = make([]badger.Entry, 0, max(64, min(2*cap(p.slab), 4096)))
	}
	p.slab = append(p.slab, badger.Entry{})
	return &p.slab[len(p.slab)-1]
}

// keep copies a key to where it lives until reset.
func (p *pack) keep(key []byte) []byte {
	if len(p.arena)+len(key) > cap(p.arena) {
		p.arena = make([]byte, 0, max(4096, min(2*cap(p.arena), 1<<18)))
	}
	start := len(p.arena)
	p.arena = append(p.arena, key...)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// setDelivery writes a delivery's record with its index entries, in place of
// what old says is there: nil if there is no record.
func (p *pack) setDelivery(number uint32, k deliveryKey, old *placed, d *deliveryRecord, encoded []byte) {
	if old != nil {
		if old.status == webhook.Pending {
			p.delete(keyOfDue(number, old.class, old.due))
		}
		if old.status != d.status && old.status != webhook.Delivered {
			p.delete(keyOfStatus(number, old.status, k))
		}
	}
	p.set(keyOfDelivery(number, k), encoded)
	if d.status == webhook.Pending {
		p.set(keyOfDue(number, d.class, d.due(k)), nil)
	}
	if d.status != webhook.Delivered && (old == nil || old.status != d.status) {
		p.set(keyOfStatus(number, d.status, k), nil)
	}
}

// placed is what index entries a recorded delivery has.
type placed struct {
	status webhook.Status
	class  class
	due    dueEntry
}
