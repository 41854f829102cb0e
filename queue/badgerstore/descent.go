package badgerstore

import (
	"bytes"

	badger "github.com/dgraph-io/badger/v4"
)

// A descent goes through the entries whose keys are a lead and a key of type K,
// newest first. Deleted entries, which Badger keeps for long, are shown too, so
// that the caller decides how many are passed.
type descent[K eventKey | deliveryKey] struct {
	key   K
	entry entry
	err   error // why next returned false; nil at the end

	it    *badger.Iterator
	lead  int    // the bytes before the key
	start []byte // where it began; an entry just there is not shown
}

// An entry is what a descent stands at. It is valid until the next one.
type entry struct {
	key, value []byte
	deleted    bool
}

// descend begins a descent from before the given key, or from the newest if
// it is nil.
func descend[K eventKey | deliveryKey](txn *badger.Txn, lead []byte, before *K) *descent[K] {
	d := &descent[K]{lead: len(lead)}
	opts := over(lead)
	opts.Reverse = true
	opts.AllVersions = true // else Badger passes the deleted ones itself
	d.it = txn.NewIterator(opts)
	d.start = append(d.start, lead...)
	if before == nil {
		for range len(d.key) + 1 { // longer than any, so greater than all
			d.start = append(d.start, 0xff)
		}
	} else {
		for i := range len(d.key) {
			d.start = append(d.start, (*before)[i])
		}
	}
	d.it.Seek(d.start)
	return d
}

// close ends the descent, which must be done before its transaction ends.
func (d *descent[K]) close() { d.it.Close() }

// next goes to the next entry, and returns false if there is none.
func (d *descent[K]) next() bool {
	e := &d.entry
	for d.it.Valid() {
		item := d.it.Item()
		e.key = item.KeyCopy(e.key)
		e.deleted = item.IsDeletedOrExpired()
		if !e.deleted {
			if e.value, d.err = item.ValueCopy(e.value); d.err != nil {
				return false
			}
		}
		d.it.Next()
		if d.it.Valid() && bytes.Equal(d.it.Item().Key(), e.key) {
			continue // of an entry's versions the newest comes last
		}
		if len(e.key) != d.lead+len(d.key) || bytes.Equal(e.key, d.start) {
			continue
		}
		for i := range len(d.key) {
			d.key[i] = e.key[d.lead+i]
		}
		return true
	}
	return false
}

// backwards calls fn for the entries of a descent until fn returns false.
func backwards[K eventKey | deliveryKey](txn *badger.Txn, lead []byte, before *K, fn func(k K, e entry) (bool, error)) error {
	d := descend(txn, lead, before)
	defer d.close()
	for d.next() {
		if goOn, err := fn(d.key, d.entry); err != nil || !goOn {
			return err
		}
	}
	return d.err
}
