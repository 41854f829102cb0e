package badgerstore

import (
	"sort"
	"sync"

	"github.com/tengineai/webhook-gateway/webhook"
)

// A targetState says where the delivery of a journal's target is kept.
type targetState byte

const (
	inLane   targetState = iota // only in memory, in its lane's hands
	toRecord                    // only in memory, to be recorded next
	ending                      // its outcome is in the pack that is being committed
	recorded                    // in a delivery record
)

// A liveEvent is an event some of whose deliveries have no record yet. The
// committer writes states and open, holding journal.mu; it may read them
// without.
type liveEvent struct {
	key     eventKey
	event   *webhook.Event
	test    bool
	targets []target // by ascending webhook number; the place is the ordinal
	open    int      // targets that are not recorded
	toWrite int      // targets in state toRecord
	from    int      // no target before it is in state toRecord
	queued  bool     // in journal.queue

	// was is nil unless the event is damaged. Its deliveries, which are counted
	// as they were stored, are then to be recorded as Corrupt.
	was []webhook.Status
}

// size estimates the memory a live event takes, in bytes.
func (e *liveEvent) size() int64 {
	return int64(512 + len(e.event.Body) + len(e.event.Context) + 48*len(e.targets))
}

// A journal holds the live events in the order of their keys, which is the
// order of their commits. Events before the oldest one have all their records:
// its key is the low-water mark. Only the committer changes a journal.
type journal struct {
	mu     sync.Mutex
	events []*liveEvent // with gaps: nil for those that are done
	keys   []eventKey   // of events, gaps included
	head   int          // events before it are done
	newest eventKey     // the last event that was applied, live or not

	// Owned by the committer.
	bytes   int64        // size of the live events
	targets int          // their open targets
	queue   []*liveEvent // those with toWrite > 0, oldest first
}

// add appends a live event. The caller holds mu.
func (j *journal) add(e *liveEvent) {
	j.events = append(j.events, e)
	j.keys = append(j.keys, e.key)
	j.bytes += e.size()
	j.targets += e.open
}

// record notes that a target has a record now. The caller holds mu.
func (j *journal) record(e *liveEvent, ordinal int) {
	t := &e.targets[ordinal]
	if t.state == recorded {
		return
	}
	if t.state == toRecord {
		e.toWrite--
	}
	t.state = recorded
	e.open--
	j.targets--
	if e.open > 0 {
		return
	}
	j.bytes -= e.size()
	i := sort.Search(len(j.keys)-j.head, func(i int) bool { return !j.keys[j.head+i].less(e.key) }) + j.head
	j.events[i] = nil
	for j.head < len(j.events) && j.events[j.head] == nil {
		j.head++
	}
	if j.head == len(j.events) {
		j.events, j.keys, j.head = j.events[:0], j.keys[:0], 0
	} else if j.head > 1024 && j.head > len(j.events)/2 {
		n := copy(j.events, j.events[j.head:])
		clear(j.events[n:])
		j.events = j.events[:n]
		j.keys = j.keys[:copy(j.keys, j.keys[j.head:])]
		j.head = 0
	}
}

// lowWater returns the key of the oldest live event, or none.
func (j *journal) lowWater() (eventKey, bool) {
	if j.head == len(j.events) {
		return eventKey{}, false
	}
	return j.keys[j.head], true
}

// mark returns a low-water mark that no later pack goes behind. Unlike lowWater
// it does not wait for events that are committed and not yet applied.
func (j *journal) mark() eventKey {
	j.mu.Lock()
	defer j.mu.Unlock()
	if k, ok := j.lowWater(); ok {
		return k
	}
	return j.newest.successor()
}

// liveBefore says whether an event before a key is live.
func (j *journal) liveBefore(k eventKey) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest, ok := j.lowWater()
	return ok && oldest.less(k)
}

// find returns the live event with a key, or nil. The caller holds mu.
func (j *journal) find(k eventKey) *liveEvent {
	i := sort.Search(len(j.keys)-j.head, func(i int) bool { return !j.keys[j.head+i].less(k) }) + j.head
	if i < len(j.keys) && j.keys[i] == k {
		return j.events[i]
	}
	return nil
}

// toRecord says whether a delivery is about to be recorded.
func (j *journal) toRecord(k deliveryKey) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.find(k.event())
	return e != nil && k.ordinal() < len(e.targets) && e.targets[k.ordinal()].state == toRecord
}

// delivery returns the record that an unrecorded target would have.
func (e *liveEvent) delivery(ordinal int) deliveryRecord {
	t := &e.targets[ordinal]
	return newDelivery(e.event, e.test, e.key, t.status, t.reason)
}
