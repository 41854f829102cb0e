package badgerstore

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"github.com/tengineai/webhook-gateway/queue"
)

// cursor returns the cursor that goes on after key k in a list: the one of a
// project's events or of a webhook's deliveries.
func cursor[K eventKey | deliveryKey](list string, k K) string {
	b := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(list)))
	b, _ = binary.Append(b, binary.BigEndian, k) // fails only for types without a fixed size
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor returns the key that a list goes on after; nil for the first
// page.
func parseCursor[K eventKey | deliveryKey](list, text string) (*K, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	k := new(K)
	if err != nil || len(b) != 4+binary.Size(*k) || binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE([]byte(list)) {
		return nil, queue.ErrCursor
	}
	_, _ = binary.Decode(b[4:], binary.BigEndian, k)
	return k, nil
}
