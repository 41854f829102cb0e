package badgerstore

import (
	"slices"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// A lane is what the store has in memory of one webhook: its number, how much
// is pending, and where that is. It stays until the webhook is deleted and its
// deliveries are retired.
//
// A pending delivery is in exactly one of these places: fresh (no record, not
// claimed), a window of the due index or the part of the index after the
// window, held (claimed, or given back until a time), or waiting to be
// recorded.
type lane struct {
	id     string
	number uint32

	dropped bool // forgotten; for the committer

	mu       sync.Mutex
	admitted uint64 // deliveries that were ever
	backlog  int    // pending deliveries, wherever they are
	waiting  int    // those that cannot be claimed until the journal has recorded them
	fresh    fifo
	live     unrecorded
	windows  [2]window // by class
	held     map[deliveryKey]*hold
	returned [2][]*hold // by class: given back, by ascending time
	turn     class      // whose turn it is
	expiry   time.Time  // no claim ends before it; zero if there is none
}

// A hold is a delivery that was taken out of its queue by a claim.
type hold struct {
	key   deliveryKey
	class class
	entry dueEntry // its place in the due index, if it is recorded

	// live is the event of a delivery that had no record when it was claimed.
	live *liveEvent

	state holdState
	token uint64
	owner string
	until time.Time // deadline while claimed; due time while returned
	since time.Time // ClaimRequest.Now

	loaded bool           // record and event are set
	record deliveryRecord // as claimed; without its last attempt
	event  *webhook.Event
}

type holdState byte

const (
	claimed   holdState = iota
	finishing           // its Finish is on the way to the disk
	returned            // claimable again from until on
)

// expire gives back the claims whose deadline has passed. The caller holds mu.
func (l *lane) expire(now time.Time) {
	if l.expiry.IsZero() || now.Before(l.expiry) {
		return
	}
	l.expiry = time.Time{}
	for _, h := range l.held {
		if h.state != claimed {
			continue
		}
		if now.Before(h.until) || !h.loaded {
			l.expireAt(h.until)
			continue
		}
		l.giveBack(h, h.until)
	}
}

// expireAt has expire look at the claims at a deadline. The caller holds mu.
func (l *lane) expireAt(until time.Time) {
	if l.expiry.IsZero() || until.Before(l.expiry) {
		l.expiry = until
	}
}

// giveBack ends a claim without a result. The caller holds mu.
func (l *lane) giveBack(h *hold, due time.Time) {
	if h.loaded && h.record.status != webhook.Pending {
		delete(l.held, h.key)
		return
	}
	h.state = returned
	h.until = due
	if h.live == nil {
		h.event, h.loaded = nil, false // it can wait for long, and is read again
	}
	list := l.returned[h.class]
	i, _ := slices.BinarySearchFunc(list, h, func(a, b *hold) int {
		if c := a.until.Compare(b.until); c != 0 {
			return c
		}
		return a.key.compare(b.key)
	})
	l.returned[h.class] = slices.Insert(list, i, h)
}

// claim turns a hold into a claim. The caller holds mu.
func (l *lane) claim(h *hold, owner string, now, until time.Time, token uint64) {
	h.state = claimed
	h.owner, h.since, h.until, h.token = owner, now, until, token
	if l.held == nil {
		l.held = make(map[deliveryKey]*hold)
	}
	l.held[h.key] = h
	l.expireAt(until)
}

// take removes the next delivery of the lane that is due at now from its
// queue, or returns nil. The queues must be filled. The caller holds mu.
func (l *lane) take(now time.Time) *hold {
	for range 2 {
		h := l.takeClass(l.turn, now)
		l.turn ^= 1
		if h != nil {
			return h
		}
	}
	return nil
}

func (l *lane) takeClass(c class, now time.Time) *hold {
	if list := l.returned[c]; len(list) > 0 && !now.Before(list[0].until) {
		h := list[0]
		l.returned[c] = slices.Delete(list, 0, 1)
		return h
	}
	w := &l.windows[c]
	if c == firsts && l.fresh.len() > 0 {
		f := l.fresh.first()
		if len(w.entries) == 0 || f.key().compare(w.entries[0].key) < 0 {
			l.fresh.pop()
			return &hold{key: f.key(), class: firsts, entry: dueEntry{key: f.key()}, live: f.event}
		}
	}
	if len(w.entries) > 0 && w.entries[0].due <= dueNanos(now) {
		e := w.entries[0]
		w.entries = slices.Delete(w.entries, 0, 1)
		return &hold{key: e.key, class: c, entry: e}
	}
	return nil
}

// next returns when the next delivery that is not claimed falls due; zero if
// there is none. First attempts are due at once, even if a clock that was ahead
// has dated them later than now. The queues must be filled for an exact answer.
// The caller holds mu.
func (l *lane) next(now time.Time) time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	atOnce := func(t time.Time) {
		if t.After(now) {
			t = now
		}
		earlier(t)
	}
	for c := range l.windows {
		if list := l.returned[c]; len(list) > 0 {
			earlier(list[0].until)
		}
		if e, ok := l.windows[c].first(); ok {
			if class(c) == firsts {
				atOnce(e.key.event().time())
			} else {
				earlier(time.Unix(0, e.due).UTC())
			}
		}
	}
	if l.fresh.len() > 0 {
		atOnce(l.fresh.first().event.event.ReceivedAt)
	}
	return next
}

// forget drops a delivery from the queues and returns whether it was in one.
// The caller holds mu.
func (l *lane) forget(k deliveryKey) (freshOf *liveEvent, ok bool) {
	for c := range l.windows {
		w := &l.windows[c]
		if i := slices.IndexFunc(w.entries, func(e dueEntry) bool { return e.key == k }); i >= 0 {
			w.entries = slices.Delete(w.entries, i, i+1)
			return nil, true
		}
	}
	if f, found := l.fresh.remove(k); found {
		return f.event, true
	}
	return nil, false
}

// A freshItem is a delivery that has no record.
type freshItem struct {
	event   *liveEvent
	ordinal uint32
}

func (f freshItem) key() deliveryKey { return f.event.key.delivery(int(f.ordinal)) }

// A fifo queues fresh deliveries in the order of their keys.
type fifo struct {
	items []freshItem
	head  int
}

func (q *fifo) len() int         { return len(q.items) - q.head }
func (q *fifo) first() freshItem { return q.items[q.head] }
func (q *fifo) push(f freshItem) { q.items = append(q.items, f) }

func (q *fifo) pop() {
	q.items[q.head] = freshItem{}
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 1024 {
			q.items = nil
		}
	case q.head >= 64 && q.head > len(q.items)/2:
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}

// remove takes out one delivery.
func (q *fifo) remove(k deliveryKey) (freshItem, bool) {
	i, found := slices.BinarySearchFunc(q.items[q.head:], k, func(f freshItem, k deliveryKey) int { return f.key().compare(k) })
	if !found {
		return freshItem{}, false
	}
	i += q.head
	f := q.items[i]
	copy(q.items[q.head+1:i+1], q.items[q.head:i])
	q.pop()
	return f, true
}
