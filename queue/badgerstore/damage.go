package badgerstore

import (
	"context"
	"encoding/binary"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Why a delivery ends as Corrupt.
const (
	damagedRecord = "the stored record does not match its checksum"
	damagedEvent  = "the stored event does not match its checksum"
)

// condemn ends a delivery as Corrupt. record is nil if it is damaged, ev if the
// event is. What is whole is kept.
func (s *Store) condemn(ctx context.Context, l *lane, h *hold, record *deliveryRecord, ev *storedEvent) error {
	s.log.Error("delivery is damaged on disk and will not be sent", zap.String("webhook_id", l.id), zap.String("delivery_id", h.key.id()))
	var d deliveryRecord
	if record != nil {
		d = *record
		d.status, d.reason = webhook.Corrupt, damagedEvent
	} else {
		d = damaged(h.key, ev)
		d.reason = damagedRecord
		n, err := s.earlierAttempts(h.key)
		if err != nil {
			return err
		}
		d.attempts = n
	}
	d.nextAt, d.finishedAt = time.Time{}, h.since
	l.mu.Lock()
	h.state = finishing // also if the caller gives up
	l.mu.Unlock()
	return s.settle(ctx, l, h, d, nil)
}

// earlierAttempts returns the number of the latest attempt of a delivery that
// has a record of its own; zero if none has.
func (s *Store) earlierAttempts(k deliveryKey) (n int, err error) {
	lead := attemptLead(k)
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(over(lead))
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if key := it.Item().Key(); len(key) == len(lead)+4 {
				n = int(binary.BigEndian.Uint32(key[len(lead):]))
			}
		}
		return nil
	})
	return n, err
}
