package badgerstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// An event record has two parts with a checksum each, because the event is
// read often and the targets, of which there can be very many, are not:
//
//	checksum of the event part      4 bytes
//	checksum of the targets part    4 bytes
//	length of the event part        4 bytes
//	event part                      see appendEvent
//	targets part                    see appendTargets
const eventHeader = 12

// maxValue is the most that one value may hold. It stays below Badger's value
// threshold, so that nothing goes to the value log.
const maxValue = 1<<20 - 1<<10

// maxID is the longest id that can be stored, in bytes: keys have one byte for
// its length.
const maxID = 255

// maxReason is how much of a target's reason is kept, in bytes.
const maxReason = 256

// An eventRecord is an encoded event that waits for its key.
type eventRecord struct {
	value         []byte
	event, target uint32 // checksums so far
}

// sealFor completes the checksums and returns the value to store under key.
func (r *eventRecord) sealFor(key []byte) []byte {
	binary.BigEndian.PutUint32(r.value, crc32.Update(r.event, castagnoli, key))
	binary.BigEndian.PutUint32(r.value[4:], crc32.Update(r.target, castagnoli, key))
	return r.value
}

// A target is one webhook of a publication, as the journal keeps it.
type target struct {
	lane   *lane
	status webhook.Status
	reason string
	state  targetState
	waits  bool // counts in lane.waiting; for the committer
}

// encodeEvent encodes a publication into buf, whose content is lost. The
// targets must be in ascending order of their webhooks' numbers.
func encodeEvent(buf []byte, pub *queue.Publication, targets []target) (eventRecord, error) {
	ev := pub.Event
	if len(ev.ID) > maxID || len(ev.ProjectID) > maxID {
		return eventRecord{}, fmt.Errorf("an id may have %d bytes", maxID)
	}
	pending := 0
	for i := range targets {
		if targets[i].status == webhook.Pending {
			pending++
		}
	}

	b := slices.Grow(buf[:0], eventHeader+len(ev.Body)+len(ev.Context)+320+4*len(targets))
	b = appendEvent(b[:eventHeader], pub, pending)
	end := len(b)
	binary.BigEndian.PutUint32(b[8:], uint32(end-eventHeader))
	b = appendTargets(b, targets, maxValue-end)
	if len(b) > maxValue {
		return eventRecord{}, fmt.Errorf("%d bytes with %d targets do not fit into one record of %d bytes", len(b), len(targets), maxValue)
	}
	return eventRecord{
		value:  b,
		event:  crc32.Checksum(b[eventHeader:end], castagnoli),
		target: crc32.Checksum(b[end:], castagnoli),
	}, nil
}

// Flags of an event record.
const (
	flagTestEvent     = 1
	flagContextIsData = 2 // else a large project event would not fit into one value
)

func appendEvent(b []byte, pub *queue.Publication, pending int) []byte {
	ev := pub.Event
	var flags byte
	if pub.Test {
		flags |= flagTestEvent
	}
	project := ev.Context
	if len(project) > 0 && bytes.Equal(project, ev.Data()) {
		flags |= flagContextIsData
		project = nil
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(pending))
	b = appendTime(b, ev.ReceivedAt)
	b = appendString(b, ev.ID)
	b = appendString(b, ev.Type)
	b = appendString(b, ev.ProjectID)
	b = appendString(b, ev.CreatedAt)
	b = appendString(b, ev.APIVersion)
	b = appendString(b, ev.Source)
	b = appendBytes(b, ev.Body)
	return appendBytes(b, project)
}

// A storedEvent is what an event record says beside its targets.
type storedEvent struct {
	event   webhook.Event
	pending int // how many deliveries were stored Pending
	test    bool
}

// decodeEvent copies the event out of the value stored under key.
func decodeEvent(value, key []byte) (*storedEvent, error) {
	part, _, err := splitEvent(value)
	if err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(value) != checksum(part, key) {
		return nil, errDamaged
	}
	r := reader{rest: part}
	var s storedEvent
	flags := r.byte()
	s.test = flags&flagTestEvent != 0
	s.pending = int(r.uint())
	ev := &s.event
	ev.ReceivedAt = r.time()
	ev.ID = r.string()
	ev.Type = r.string()
	ev.ProjectID = r.string()
	ev.CreatedAt = r.string()
	ev.APIVersion = r.string()
	ev.Source = r.string()
	ev.Body = r.bytes()
	ev.Context = r.bytes()
	if flags&flagContextIsData != 0 {
		ev.Context = ev.Data()
	}
	return &s, r.err
}

func splitEvent(value []byte) (event, targets []byte, err error) {
	if len(value) < eventHeader {
		return nil, nil, errDamaged
	}
	r := reader{rest: value[eventHeader:]}
	event = r.take(uint64(binary.BigEndian.Uint32(value[8:])))
	return event, r.rest, r.err
}

// appendTargets writes the targets as steps from one webhook number to the
// next. What is not simply Pending has a mark, its status, and a place in the
// list of reasons, which holds each text once. Reasons that room does not
// suffice for are left out.
func appendTargets(b []byte, targets []target, room int) []byte {
	const perTarget = 5 + 1 + 4
	room -= len(targets) * perTarget

	var reasons []string
	place := map[string]int{}
	for i := range targets {
		t := &targets[i]
		if t.status == webhook.Pending {
			continue
		}
		if _, known := place[t.reason]; known || t.reason == "" || len(t.reason) > room {
			continue
		}
		room -= len(t.reason) + 2
		reasons = append(reasons, t.reason)
		place[t.reason] = len(reasons) // zero is for none
	}

	b = binary.AppendUvarint(b, uint64(len(targets)))
	b = binary.AppendUvarint(b, uint64(len(reasons)))
	for _, reason := range reasons {
		b = appendString(b, reason)
	}
	last := uint32(0)
	for i := range targets {
		t := &targets[i]
		step := uint64(t.lane.number - last)
		last = t.lane.number
		if t.status == webhook.Pending {
			b = binary.AppendUvarint(b, step<<1)
			continue
		}
		b = binary.AppendUvarint(b, step<<1|1)
		b = append(b, statusByte(t.status))
		b = binary.AppendUvarint(b, uint64(place[t.reason]))
	}
	return b
}

// A storedTarget is a target as its event's record has it.
type storedTarget struct {
	ordinal int
	number  uint32 // of the webhook
	status  webhook.Status
	reason  string
}

// eachTarget calls fn for the targets in the value stored under key, in order,
// until fn returns false.
func eachTarget(value, key []byte, fn func(storedTarget) bool) error {
	_, part, err := splitEvent(value)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(value[4:]) != checksum(part, key) {
		return errDamaged
	}
	r := reader{rest: part}
	count := int(r.uint())
	reasons := []string{""}
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		reasons = append(reasons, r.string())
	}
	t := storedTarget{}
	for ; t.ordinal < count; t.ordinal++ {
		step := r.uint()
		t.number += uint32(step >> 1)
		t.status, t.reason = webhook.Pending, ""
		if step&1 != 0 {
			t.status = statusOf(r.byte())
			place := r.uint()
			if place >= uint64(len(reasons)) {
				return errDamaged
			}
			t.reason = reasons[place]
		}
		if r.err != nil {
			return r.err
		}
		if !fn(t) {
			return nil
		}
	}
	return nil
}

// statusByte is a status in keys and records: its place in webhook.Statuses,
// from 1.
func statusByte(s webhook.Status) byte {
	return byte(slices.Index(webhook.Statuses, s) + 1)
}

// statusOf is the inverse of statusByte; a byte that means nothing is Corrupt.
func statusOf(b byte) webhook.Status {
	if b == 0 || int(b) > len(webhook.Statuses) {
		return webhook.Corrupt
	}
	return webhook.Statuses[b-1]
}
