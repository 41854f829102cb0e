package queue

import (
	"context"
	"io"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Upkeep is what a store needs as long as it is open, and its end.
type Upkeep interface {
	// Retire removes up to limit events received before the given time, whose
	// deliveries are all finished, with those deliveries, their attempts and
	// the memory of their ids. more says whether another call would find more. It
	// needs some space itself: ErrFull if that is not left either.
	Retire(ctx context.Context, before time.Time, limit int) (retired int, more bool, err error)

	// Stats returns counts and health, from memory.
	Stats() Stats

	// Close waits for calls under way, refuses new ones, and closes the store.
	// Closing twice is no error.
	Close() error
}

// Backuper is implemented by stores that can be backed up while they work. Store
// does not ask for it.
type Backuper interface {
	// Backup writes all that is stored to w, as it is at one moment, in a
	// format of the store's own. The backup is whole if the error is nil. The
	// secrets in it are as the store got them: sealed. It goes on while events
	// are published and delivered, and ends with ErrClosed when the store is
	// closed.
	Backup(ctx context.Context, w io.Writer) error
}

// Stats is a store's state at a glance.
type Stats struct {
	// Deliveries counts deliveries by status.
	Deliveries map[webhook.Status]int64

	// OldestDue is the earliest due time among pending deliveries that are not
	// claimed; zero when there are none.
	OldestDue time.Time

	// FreeBytes is the space that is left for the store; negative if unknown.
	FreeBytes int64

	// Full is true while Publish refuses what is new with ErrFull.
	Full bool

	// Lost counts acknowledged commits that were missing when the store was
	// opened. Zero is what it should be.
	Lost uint64

	// CheckedAt is when a store that reads all it has from time to time, to
	// compare it with its checksums, last came to the end; zero before. Damaged
	// counts what did not match.
	CheckedAt time.Time
	Damaged   int64

	// Err is why the store is unavailable; nil while it works.
	Err error
}
