package badgerstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/oklog/ulid/v2"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The first byte of a key says what it holds. Numbers in keys are big endian,
// so that keys sort as their numbers do.
const (
	prefixEvent    = 'e' // event key → event record
	prefixID       = 'i' // length and event id, project → event key
	prefixProject  = 'p' // length and project, event key → nothing
	prefixDelivery = 'd' // webhook number, delivery key → delivery record
	prefixAttempt  = 'a' // delivery key, attempt number → attempt record
	prefixDue      = 'q' // webhook number, class, due time, delivery key → nothing
	prefixStatus   = 's' // webhook number, status, delivery key → nothing; all but Delivered
	prefixName     = 'n' // webhook number → webhook id
	prefixRecord   = 'w' // length and kind, id → record
	prefixOwned    = 'x' // length and kind, length and project, id → nothing
	prefixContext  = 'c' // project → remembered context
	prefixMeta     = 'm' // → meta record
	prefixLayout   = 'v' // → version of this layout, one byte
)

// An eventKey is an event's place in the order of acceptance: 6 bytes of
// milliseconds and 6 bytes that only grow within the millisecond. They start
// anywhere and grow by random steps, because delivery ids show them and must
// not tell how much traffic there is.
type eventKey [12]byte

func (k eventKey) millis() uint64 { return binary.BigEndian.Uint64(k[:8]) >> 16 }

// time returns the millisecond of the key.
func (k eventKey) time() time.Time { return time.UnixMilli(int64(k.millis())).UTC() }

func (k eventKey) less(other eventKey) bool { return bytes.Compare(k[:], other[:]) < 0 }

// next returns the key that follows k for an event received at t. It is
// greater than k even if the clock was set back.
func (k eventKey) next(t time.Time) eventKey {
	ms := uint64(max(t.UnixMilli(), 0))
	tail := rand.Uint64N(1 << 47)
	if last := k.millis(); ms <= last {
		ms = last
		tail = binary.BigEndian.Uint64(k[4:])&(1<<48-1) + 1 + rand.Uint64N(1<<16)
		if tail >= 1<<48 {
			ms, tail = ms+1, rand.Uint64N(1<<47)
		}
	}
	var n eventKey
	binary.BigEndian.PutUint64(n[4:], tail)
	binary.BigEndian.PutUint32(n[:4], uint32(ms>>16))
	binary.BigEndian.PutUint16(n[4:6], uint16(ms))
	return n
}

// successor returns the least key greater than k.
func (k eventKey) successor() eventKey {
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			break
		}
	}
	return k
}

// successor returns the least key greater than d.
func (d deliveryKey) successor() deliveryKey {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i]++; d[i] != 0 {
			break
		}
	}
	return d
}

// firstKeyAt returns a key that sorts before all keys of t's millisecond.
func firstKeyAt(t time.Time) eventKey {
	var k eventKey
	binary.BigEndian.PutUint64(k[:8], uint64(max(t.UnixMilli(), 0))<<16)
	return k
}

// A deliveryKey is its event's key and the place of its target in the
// publication.
type deliveryKey [16]byte

func (k eventKey) delivery(ordinal int) deliveryKey {
	var d deliveryKey
	copy(d[:], k[:])
	binary.BigEndian.PutUint32(d[12:], uint32(ordinal))
	return d
}

func (d deliveryKey) event() eventKey                 { return eventKey(d[:12]) }
func (d deliveryKey) ordinal() int                    { return int(binary.BigEndian.Uint32(d[12:])) }
func (d deliveryKey) compare(other deliveryKey) int   { return bytes.Compare(d[:], other[:]) }
func (d deliveryKey) createdAt(r time.Time) time.Time { return createdAt(d.event(), r) }

const idPrefix = "dlv_"

// id returns the delivery's public id. It has the shape of a ULID.
func (d deliveryKey) id() string {
	var b [len(idPrefix) + ulid.EncodedSize]byte
	copy(b[:], idPrefix)
	_ = ulid.ULID(d).MarshalTextTo(b[len(idPrefix):]) // fails only for a short buffer
	return string(b[:])
}

// parseID is the inverse of id.
func parseID(id string) (deliveryKey, bool) {
	if len(id) != len(idPrefix)+ulid.EncodedSize || id[:len(idPrefix)] != idPrefix {
		return deliveryKey{}, false
	}
	u, err := ulid.ParseStrict(id[len(idPrefix):])
	return deliveryKey(u), err == nil
}

// createdAt returns when the deliveries of an event were created: when it was
// received, but never before what was accepted earlier. So creation times are
// in the order of keys whatever the clock did.
func createdAt(k eventKey, receivedAt time.Time) time.Time {
	if max(receivedAt.UnixMilli(), 0) < int64(k.millis()) {
		return k.time()
	}
	return receivedAt
}

func keyOfEvent(k eventKey) []byte {
	return append([]byte{prefixEvent}, k[:]...)
}

// idLead precedes the keys of all events with an id.
func idLead(eventID string) []byte {
	b := make([]byte, 0, 64)
	b = append(b, prefixID, byte(len(eventID)))
	return append(b, eventID...)
}

func keyOfID(eventID, projectID string) []byte {
	return append(idLead(eventID), projectID...)
}

// projectLead precedes the list of a project's events.
func projectLead(projectID string) []byte {
	b := make([]byte, 0, 48)
	b = append(b, prefixProject, byte(len(projectID)))
	return append(b, projectID...)
}

func deliveryLead(number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 24), prefixDelivery), number)
}

func keyOfDelivery(number uint32, d deliveryKey) []byte {
	return append(deliveryLead(number), d[:]...)
}

func keyOfAttempt(d deliveryKey, number int) []byte {
	b := append(make([]byte, 0, 24), prefixAttempt)
	b = append(b, d[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

func attemptLead(d deliveryKey) []byte {
	return append([]byte{prefixAttempt}, d[:]...)
}

// A dueEntry is what the due index holds of a delivery. Class firsts has no
// due times: first attempts are due at once, in the order of their keys.
type dueEntry struct {
	due int64 // Unix nanoseconds; zero in class firsts
	key deliveryKey
}

func (e dueEntry) compare(other dueEntry) int {
	switch {
	case e.due < other.due:
		return -1
	case e.due > other.due:
		return 1
	default:
		return e.key.compare(other.key)
	}
}

// A class is one of the two queues of a webhook, which take turns.
type class byte

const (
	firsts  class = iota // published and never claimed and finished since
	retries              // due at a time of its own
)

func dueLead(number uint32, c class) []byte {
	b := append(make([]byte, 0, 32), prefixDue)
	return append(binary.BigEndian.AppendUint32(b, number), byte(c))
}

func keyOfDue(number uint32, c class, e dueEntry) []byte {
	b := binary.BigEndian.AppendUint64(dueLead(number, c), uint64(e.due))
	return append(b, e.key[:]...)
}

const dueKeyLen = 1 + 4 + 1 + 8 + 16

// parseDue reads a key of the due index.
func parseDue(key []byte) (number uint32, c class, e dueEntry, err error) {
	if len(key) != dueKeyLen {
		return 0, 0, e, fmt.Errorf("due key has %d bytes", len(key))
	}
	number = binary.BigEndian.Uint32(key[1:])
	c = class(key[5])
	e.due = int64(binary.BigEndian.Uint64(key[6:]))
	copy(e.key[:], key[14:])
	if c > retries {
		return 0, 0, e, fmt.Errorf("due key has class %d", c)
	}
	return number, c, e, nil
}

func statusLead(number uint32, s webhook.Status) []byte {
	b := append(make([]byte, 0, 24), prefixStatus)
	return append(binary.BigEndian.AppendUint32(b, number), statusByte(s))
}

func keyOfStatus(number uint32, s webhook.Status, d deliveryKey) []byte {
	return append(statusLead(number, s), d[:]...)
}

func keyOfName(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefixName}, number)
}

// recordLead precedes the keys of all records of a kind.
func recordLead(kind queue.RecordKind) []byte {
	b := append(make([]byte, 0, 48), prefixRecord, byte(len(kind)))
	return append(b, kind...)
}

func keyOfRecord(kind queue.RecordKind, id string) []byte {
	return append(recordLead(kind), id...)
}

// ownedLead precedes the list of a project's records of a kind.
func ownedLead(kind queue.RecordKind, projectID string) []byte {
	b := append(make([]byte, 0, 64), prefixOwned, byte(len(kind)))
	b = append(b, kind...)
	b = append(b, byte(len(projectID)))
	return append(b, projectID...)
}

func keyOfContext(projectID string) []byte {
	return append([]byte{prefixContext}, projectID...)
}

var (
	metaKey   = []byte{prefixMeta}
	layoutKey = []byte{prefixLayout}
)

// layoutVersion is the version of what this file and the records say.
const layoutVersion = 1

// over returns the options to iterate over the keys with a prefix. Values are
// in the same place as the keys, so that there is nothing to prefetch; Badger
// would start a goroutine for each.
func over(prefix []byte) badger.IteratorOptions {
	return badger.IteratorOptions{Prefix: prefix}
}
