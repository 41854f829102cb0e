package queue

import "context"

// Records keeps what the gateway has beside events and deliveries: webhooks,
// keys and the like. Versions tell a change of a record from others that are
// made at the same time. Changes return ErrFull while too little space is left.
type Records interface {
	// PutRecord stores a record if its current version is rec.Version, and
	// returns the new version. Version 0: the record must not exist. Else
	// ErrVersion.
	PutRecord(ctx context.Context, rec Record) (version uint64, err error)

	// Record returns a record, or ErrNotFound.
	Record(ctx context.Context, kind RecordKind, id string) (Record, error)

	// Records lists the records of a kind by ascending id: those of one
	// project, or of all if projectID is empty. The cursor is empty for the
	// first page, and ErrCursor if another list gave it.
	Records(ctx context.Context, kind RecordKind, projectID, cursor string, limit int) (page RecordPage, err error)

	// DeleteRecord removes a record. Removing none is no error. What a webhook
	// has pending stays until it is claimed and finished.
	DeleteRecord(ctx context.Context, kind RecordKind, id string) error
}

// RecordKind says what a Record is. Ids are unique within a kind.
type RecordKind string

const (
	WebhookRecord RecordKind = "webhook"
	HealthRecord  RecordKind = "health" // of a webhook's receiver, by the webhook's id
	KeyRecord     RecordKind = "key"    // an API key
	ReplayRecord  RecordKind = "replay"
	RetryRecord   RecordKind = "retry" // by hand, that is owed; by the delivery's id
	SealRecord    RecordKind = "seal"  // tells whether the key that seals secrets is the right one
)

// Record is something that the gateway keeps beside events and deliveries.
// Data is the gateway's: a store neither reads nor changes it.
type Record struct {
	Kind      RecordKind
	ID        string
	ProjectID string // may be empty
	Version   uint64
	Data      []byte
}

// RecordPage is a page of records. Next is empty on the last page. Damaged
// names those of the page that do not match their checksum; they are not in
// Records and can be put again (with Version 0) or deleted.
type RecordPage struct {
	Records []Record
	Damaged []string
	Next    string
}
