package badgerstore

import "slices"

// An unrecorded is the list of a lane's deliveries that have no record, in the
// order of their keys. Pages of a webhook's deliveries are made of it and of
// the records.
type unrecorded struct {
	items []unrecordedItem // with gaps: event is nil for those recorded since
	head  int              // items before it are gaps
	gaps  int              // after head
}

type unrecordedItem struct {
	key   deliveryKey
	event *liveEvent
}

// add appends a delivery that is newer than all others.
func (u *unrecorded) add(k deliveryKey, e *liveEvent) {
	u.items = append(u.items, unrecordedItem{k, e})
}

// remove takes out a delivery, if it is there.
func (u *unrecorded) remove(k deliveryKey) {
	i := u.below(&k)
	if i == len(u.items) || u.items[i].key != k || u.items[i].event == nil {
		return
	}
	u.items[i].event = nil
	u.gaps++
	for u.head < len(u.items) && u.items[u.head].event == nil {
		u.head++
		u.gaps--
	}
	switch rest := len(u.items) - u.head; {
	case rest == 0:
		u.items, u.head = u.items[:0], 0
		if cap(u.items) > 1024 {
			u.items = nil
		}
	case u.gaps > 64 && u.gaps > rest/2, u.head > 64 && u.head > rest:
		n := 0
		for _, item := range u.items[u.head:] {
			if item.event != nil {
				u.items[n] = item
				n++
			}
		}
		clear(u.items[n:])
		u.items, u.head, u.gaps = u.items[:n], 0, 0
	}
}

// below returns how many items, gaps included, have keys less than k; all of
// them if k is nil.
func (u *unrecorded) below(k *deliveryKey) int {
	if k == nil {
		return len(u.items)
	}
	i, _ := slices.BinarySearchFunc(u.items[u.head:], *k, func(item unrecordedItem, k deliveryKey) int { return item.key.compare(k) })
	return u.head + i
}

// find returns the event of a delivery, or nil.
func (u *unrecorded) find(k deliveryKey) *liveEvent {
	if i := u.below(&k); i < len(u.items) && u.items[i].key == k {
		return u.items[i].event
	}
	return nil
}

// unrecorded returns a delivery that has no record, or nil.
func (l *lane) unrecorded(k deliveryKey) *deliveryRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.live.find(k)
	if e == nil {
		return nil
	}
	d := e.delivery(k.ordinal())
	return &d
}
