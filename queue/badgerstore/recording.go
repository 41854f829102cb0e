package badgerstore

import (
	"context"

	"github.com/tengineai/webhook-gateway/webhook"
)

// recordingsPerPack is how many deliveries of the journal get their records in
// one pack, so that others need not wait long for theirs.
const recordingsPerPack = 1500

// A recording is a delivery of the journal that gets its record.
type recording struct {
	event   *liveEvent
	ordinal int
}

// packRecordings writes records of deliveries that do not stay in memory.
func (s *Store) packRecordings(p *pack) {
	j := &s.journal
	for len(j.queue) > 0 {
		e := j.queue[0]
		for ; e.toWrite > 0 && e.from < len(e.targets); e.from++ {
			t := &e.targets[e.from]
			if t.state != toRecord {
				continue
			}
			if len(p.recording) == recordingsPerPack || !p.fits(3, 1024) {
				return
			}
			d := e.delivery(e.from)
			k := e.key.delivery(e.from)
			encoded := d.encode(keyOfDelivery(t.lane.number, k))
			p.setDelivery(t.lane.number, k, nil, &d, encoded)
			p.recording = append(p.recording, recording{e, e.from})
			if e.was != nil {
				p.meta.counts.add(e.was[e.from], -1)
				p.meta.counts.add(webhook.Corrupt, 1)
			}
		}
		e.queued = false
		j.queue[0] = nil
		j.queue = j.queue[1:]
	}
	j.queue = nil
}

// applyRecordings moves the deliveries that now have records into the due
// index of their lanes. The committer holds journal.mu.
func (s *Store) applyRecordings(p *pack) {
	if len(p.recording) == 0 {
		return
	}
	for _, r := range p.recording {
		t := &r.event.targets[r.ordinal]
		s.journal.record(r.event, r.ordinal)
		l, k := t.lane, r.event.key.delivery(r.ordinal)
		l.mu.Lock()
		l.live.remove(k)
		if t.status != webhook.Pending {
			l.mu.Unlock()
			continue
		}
		t.stopWaiting()
		_, held := l.held[k]
		if !held {
			l.windows[firsts].insert(dueEntry{key: k})
		}
		l.mu.Unlock()
		if !held {
			s.news = append(s.news, news{l.id, r.event.event.ReceivedAt})
		}
	}
}

// putOff marks the deliveries of the oldest live events for recording when the
// journal has become long, because one receiver that does not answer would
// otherwise make it grow for ever. The committer holds journal.mu.
func (s *Store) putOff() {
	j := &s.journal
	for i := j.head; i < len(j.events) && len(j.events)-i > s.opts.MemoryDeliveries; i++ {
		s.putOffEvent(j.events[i])
	}
}

// putOffEvent marks what is left of a live event for recording; nil is none.
// The committer holds journal.mu.
func (s *Store) putOffEvent(e *liveEvent) {
	if e == nil || e.toWrite == e.open {
		return
	}
	for ordinal := range e.targets {
		t := &e.targets[ordinal]
		if t.state != inLane {
			continue
		}
		t.lane.mu.Lock()
		// One that is claimed, or given back, is recorded where it is.
		if _, fresh := t.lane.fresh.remove(e.key.delivery(ordinal)); fresh {
			t.wait()
		}
		t.lane.mu.Unlock()
		t.state = toRecord
		e.toWrite++
	}
	e.from = 0
	s.journal.enqueue(e)
}

// wait counts a delivery among those that cannot be claimed until they are
// recorded. The caller holds lane.mu.
func (t *target) wait() {
	t.waits = true
	t.lane.waiting++
}

// stopWaiting ends that. The caller holds lane.mu.
func (t *target) stopWaiting() {
	if t.waits {
		t.waits = false
		t.lane.waiting--
	}
}

// enqueue has an event's deliveries in state toRecord recorded. The caller
// holds mu.
func (j *journal) enqueue(e *liveEvent) {
	if e.toWrite > 0 && !e.queued {
		e.queued = true
		j.queue = append(j.queue, e)
	}
}

// A puttingOff is the request that has all live events before a key recorded,
// so that the low-water mark moves on. Nobody waits for it.
type puttingOff struct {
	store  *Store
	before eventKey
}

func (r *puttingOff) weight() (int, int64) { return 0, 0 }
func (r *puttingOff) apply(*pack)          {}
func (r *puttingOff) done(error)           {}

func (r *puttingOff) write(*pack) error {
	j := &r.store.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := j.head; i < len(j.events) && j.keys[i].less(r.before); i++ {
		r.store.putOffEvent(j.events[i])
	}
	return nil
}

// putOffBefore waits until no event before a key is live any more, unless there
// is too little space for records.
func (s *Store) putOffBefore(ctx context.Context, k eventKey) error {
	asked := false
	for {
		recorded := s.recorded.next()
		if err := s.failure(); err != nil {
			return err
		}
		if !s.journal.liveBefore(k) || s.space.tooFullTo(finish) {
			return nil
		}
		if !asked {
			asked = true
			if err := s.inbox.put(&puttingOff{s, k}, false); err != nil {
				return err
			}
		}
		select {
		case <-recorded:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
