package badgerstore

import (
	"slices"

	badger "github.com/dgraph-io/badger/v4"
)

// windowSize is how many entries of the due index are read ahead per lane and
// class.
const windowSize = 32

// A window is the part of a lane's due index, for one class, that was read
// ahead. Every index entry up to pos is in the window, held by the lane, or a
// leftover; so deleted entries, which Badger keeps as tombstones for long, are
// passed once and never seen again.
type window struct {
	entries []dueEntry
	pos     dueEntry // the scan has come up to here
	more    bool     // there may be entries after pos
	hint    dueEntry // if more: nothing after pos comes before it
}

// first returns the first entry of the window, or of what may follow it.
func (w *window) first() (dueEntry, bool) {
	switch {
	case len(w.entries) > 0:
		return w.entries[0], true
	case w.more:
		return w.hint, true
	default:
		return dueEntry{}, false
	}
}

// insert notes that an entry was added to the index.
func (w *window) insert(e dueEntry) {
	switch {
	case e.compare(w.pos) > 0 && w.more:
		if e.compare(w.hint) < 0 {
			w.hint = e
		}
		return
	case e.compare(w.pos) > 0 && len(w.entries) >= windowSize:
		w.more, w.hint = true, e
		return
	case e.compare(w.pos) > 0:
		w.pos = e
	}
	i, found := slices.BinarySearchFunc(w.entries, e, dueEntry.compare)
	if found {
		return
	}
	w.entries = slices.Insert(w.entries, i, e)
	if n := len(w.entries); n > 2*windowSize {
		w.more, w.hint = true, w.entries[n-1]
		w.entries = w.entries[:n-1]
		w.pos = w.entries[n-2]
	}
}

// fill reads ahead if the window is empty and the index may hold more. The
// caller holds the lane's mu.
func (l *lane) fill(db *badger.DB, c class) error {
	w := &l.windows[c]
	if len(w.entries) > 0 || !w.more {
		return nil
	}
	lead := dueLead(l.number, c)
	return db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over(lead))
		defer it.Close()
		from := w.pos
		if w.hint.compare(from) > 0 {
			from = w.hint // what lies between are tombstones
		}
		for it.Seek(keyOfDue(l.number, c, from)); it.Valid(); it.Next() {
			_, _, e, err := parseDue(it.Item().Key())
			if err != nil || e.compare(w.pos) <= 0 {
				continue
			}
			w.pos = e
			if _, taken := l.held[e.key]; taken {
				continue
			}
			w.entries = append(w.entries, e)
			if len(w.entries) == windowSize {
				w.hint = e
				return nil
			}
		}
		w.more = false
		return nil
	})
}
