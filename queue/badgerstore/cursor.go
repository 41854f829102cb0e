package badgerstore

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
)

// A cursor is the key that a page ended at, under a checksum over it and what
// identifies the list: which things in it, of whom, by which filters. So it is
// of no use for another list, and goes on where it stood whatever has been
// added or removed since.

// cursor returns the cursor that goes on after a key in a list.
func cursor(list string, key []byte) string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(key)), cursorChecksum(list, key))
	return base64.RawURLEncoding.EncodeToString(append(b, key...))
}

// parseCursor returns the key that a list goes on after; nil for the first
// page.
func parseCursor(list, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 5 || binary.BigEndian.Uint32(b) != cursorChecksum(list, b[4:]) {
		return nil, queue.ErrCursor
	}
	return b[4:], nil
}

// parseKeyCursor is parseCursor for lists in the order of keys.
func parseKeyCursor[K eventKey | deliveryKey](list, text string) (*K, error) {
	b, err := parseCursor(list, text)
	if b == nil || err != nil {
		return nil, err
	}
	var k K
	if n, err := binary.Decode(b, binary.BigEndian, &k); err != nil || n != len(b) {
		return nil, queue.ErrCursor
	}
	return &k, nil
}

func cursorChecksum(list string, key []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(list)), crc32.IEEETable, key)
}

func listOfEvents(q queue.EventQuery) string { return fmt.Sprintf("events %q", q.ProjectID) }

func listOfDeliveries(q queue.DeliveryQuery) string {
	return fmt.Sprintf("deliveries %q %q %q %q %s %s", q.WebhookID, q.Status, q.EventType, q.EventID, bound(q.Since), bound(q.Until))
}

func listOfRecords(kind queue.RecordKind, projectID string) string {
	return fmt.Sprintf("records %q %q", kind, projectID)
}

// bound returns a time as it is told apart from others.
func bound(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
