package badgerstore

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// A deliveryRecord is a delivery as it is stored. It repeats what lists show
// of its event, so that they need not read it.
type deliveryRecord struct {
	status     webhook.Status
	class      class // which due index holds it while it is Pending
	test       bool
	attempts   int
	step       int
	receivedAt time.Time
	nextAt     time.Time
	finishedAt time.Time
	replayedAt time.Time
	eventID    string
	eventType  string
	projectID  string
	reason     string
	last       []byte // the latest attempt, encoded; empty before the first
}

const (
	flagTest = 1 << iota
	flagRetry
	flagReplayed // replayedAt follows finishedAt
)

// newDelivery returns the record of a delivery nothing has happened to.
func newDelivery(ev *webhook.Event, test bool, k eventKey, status webhook.Status, reason string) deliveryRecord {
	d := deliveryRecord{
		status:     status,
		test:       test,
		receivedAt: ev.ReceivedAt,
		eventID:    ev.ID,
		eventType:  ev.Type,
		projectID:  ev.ProjectID,
		reason:     reason,
	}
	if status == webhook.Pending {
		d.nextAt = createdAt(k, ev.ReceivedAt)
	} else {
		d.finishedAt = createdAt(k, ev.ReceivedAt)
	}
	return d
}

// encode returns the value to store under key.
func (d *deliveryRecord) encode(key []byte) []byte {
	b := make([]byte, 4, 96+len(d.eventID)+len(d.eventType)+len(d.projectID)+len(d.reason)+len(d.last))
	var flags byte
	if d.test {
		flags |= flagTest
	}
	if d.class == retries {
		flags |= flagRetry
	}
	if !d.replayedAt.IsZero() {
		flags |= flagReplayed
	}
	b = append(b, statusByte(d.status), flags)
	b = binary.AppendUvarint(b, uint64(d.attempts))
	b = binary.AppendUvarint(b, uint64(d.step))
	b = appendTime(b, d.receivedAt)
	b = appendTime(b, d.nextAt)
	b = appendTime(b, d.finishedAt)
	if flags&flagReplayed != 0 {
		b = appendTime(b, d.replayedAt)
	}
	b = appendString(b, d.eventID)
	b = appendString(b, d.eventType)
	b = appendString(b, d.projectID)
	b = appendString(b, d.reason)
	b = append(b, d.last...)
	return seal(b, key)
}

// decodeDelivery copies a record out of the value stored under key.
func decodeDelivery(value, key []byte) (deliveryRecord, error) {
	rest, err := unseal(value, key)
	if err != nil {
		return deliveryRecord{}, err
	}
	r := reader{rest: rest}
	d := readHead(&r)
	d.eventID = r.string()
	d.eventType = r.string()
	d.projectID = r.string()
	d.reason = r.string()
	d.last = slices.Clone(r.rest)
	return d, r.err
}

// readHead reads what stands before the texts of a record.
func readHead(r *reader) (d deliveryRecord) {
	d.status = statusOf(r.byte())
	flags := r.byte()
	d.test = flags&flagTest != 0
	if flags&flagRetry != 0 {
		d.class = retries
	}
	d.attempts = int(r.uint())
	d.step = int(r.uint())
	d.receivedAt = r.time()
	d.nextAt = r.time()
	d.finishedAt = r.time()
	if flags&flagReplayed != 0 {
		d.replayedAt = r.time()
	}
	return d
}

// isOfOtherType says whether a record is whole and its event not of the given
// type. It copies nothing: a list by type passes many records for each it shows.
func isOfOtherType(value, key []byte, eventType string) bool {
	rest, err := unseal(value, key)
	if err != nil {
		return false
	}
	r := reader{rest: rest}
	readHead(&r)
	r.take(r.uint()) // the event's id
	stored := r.take(r.uint())
	return r.err == nil && string(stored) != eventType
}

// peekStatus returns the status in a delivery record without reading the rest.
func peekStatus(value []byte) webhook.Status {
	if len(value) < 5 {
		return webhook.Corrupt
	}
	return statusOf(value[4])
}

// due returns where the due index has the delivery while it is Pending.
func (d *deliveryRecord) due(k deliveryKey) dueEntry {
	if d.class == firsts {
		return dueEntry{key: k}
	}
	return dueEntry{due: dueNanos(d.nextAt), key: k}
}

func dueNanos(t time.Time) int64 {
	if t.Year() > 2200 {
		return 1<<63 - 1
	}
	return max(t.UnixNano(), 1)
}

// delivery returns the record as others see it. The last attempt is decoded
// if withAttempt is true.
func (d *deliveryRecord) delivery(webhookID string, k deliveryKey, withAttempt bool) webhook.Delivery {
	out := webhook.Delivery{
		ID:            k.id(),
		WebhookID:     webhookID,
		EventID:       d.eventID,
		EventType:     d.eventType,
		ProjectID:     d.projectID,
		Status:        d.status,
		Reason:        d.reason,
		Attempts:      d.attempts,
		Step:          d.step,
		NextAttemptAt: d.nextAt,
		CreatedAt:     k.createdAt(d.receivedAt),
		FinishedAt:    d.finishedAt,
		ReplayedAt:    d.replayedAt,
		Test:          d.test,
	}
	if withAttempt && len(d.last) > 0 {
		if a, err := decodeAttempt(d.last); err == nil {
			out.LastAttempt = &a
		}
	}
	return out
}

// damaged returns what can be said of a delivery whose record is damaged. ev is
// nil if its event is, too.
func damaged(k deliveryKey, ev *storedEvent) deliveryRecord {
	d := deliveryRecord{status: webhook.Corrupt, receivedAt: k.event().time()}
	if ev != nil {
		d.receivedAt, d.test = ev.event.ReceivedAt, ev.test
		d.eventID, d.eventType, d.projectID = ev.event.ID, ev.event.Type, ev.event.ProjectID
	}
	return d
}

// encodeAttempt appends an attempt to b.
func encodeAttempt(b []byte, a *webhook.Attempt) []byte {
	b = binary.AppendUvarint(b, uint64(a.Number))
	b = appendTime(b, a.StartedAt)
	b = binary.AppendUvarint(b, zigzag(int64(a.Duration)))
	b = appendString(b, []byte(a.Outcome))
	b = binary.AppendUvarint(b, zigzag(int64(a.StatusCode)))
	b = appendString(b, a.Error)
	b = binary.AppendUvarint(b, uint64(len(a.ResponseHeaders)))
	for _, h := range a.ResponseHeaders {
		b = appendString(b, h.Name)
		b = appendString(b, h.Value)
	}
	b = appendBytes(b, a.ResponseBody)
	truncated := byte(0)
	if a.ResponseTruncated {
		truncated = 1
	}
	b = append(b, truncated)
	b = appendString(b, a.SourceIP)
	b = appendString(b, a.RemoteIP)
	return appendString(b, []byte(a.Trigger))
}

func decodeAttempt(b []byte) (webhook.Attempt, error) {
	r := reader{rest: b}
	var a webhook.Attempt
	a.Number = int(r.uint())
	a.StartedAt = r.time()
	a.Duration = time.Duration(unzigzag(r.uint()))
	a.Outcome = webhook.Outcome(r.string())
	a.StatusCode = int(unzigzag(r.uint()))
	a.Error = r.string()
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		a.ResponseHeaders = append(a.ResponseHeaders, webhook.Header{Name: r.string(), Value: r.string()})
	}
	a.ResponseBody = r.bytes()
	a.ResponseTruncated = r.byte() != 0
	a.SourceIP = r.string()
	a.RemoteIP = r.string()
	a.Trigger = webhook.Trigger(r.string())
	return a, r.err
}
