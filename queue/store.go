// Package queue is the durable outbox: the contract that every store keeps
// (Store) and the retry schedule. Nothing here knows a database; badgerstore
// is the embedded default, and queuetest proves that a store keeps the
// contract.
package queue

import (
	"context"
	"errors"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Errors of a Store. Test with errors.Is.
var (
	// ErrClosed: the store was closed. Nothing was done.
	ErrClosed = errors.New("store is closed")

	// ErrUnavailable: the store failed for good and must be opened again. For
	// the call that saw the failure, whether it took effect is unknown: repeat
	// it with the same ids after a restart.
	ErrUnavailable = errors.New("store is unavailable")

	// ErrFull: there is too little free space to take more. Nothing was done.
	ErrFull = errors.New("store is nearly full")

	// ErrBusy: too much waits to be stored already. Nothing was done; try again
	// soon.
	ErrBusy = errors.New("store is busy")

	// ErrClaimLost: the claim has ended, by its deadline or by Finish or
	// Release. Nothing was done.
	ErrClaimLost = errors.New("claim is lost")

	// ErrClaimed: somebody else has claimed the delivery. Nothing was done.
	ErrClaimed = errors.New("delivery is claimed")

	// ErrCorrupt: what is stored does not match its checksum.
	ErrCorrupt = errors.New("record is damaged")

	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("not found")

	// ErrVersion: the record has another version than the caller expected.
	ErrVersion = errors.New("record has changed meanwhile")

	// ErrCursor: the cursor is not one that this list gave. A list is known by
	// all fields of its query but Cursor and Limit.
	ErrCursor = errors.New("cursor is not valid here")
)

// Store keeps events, their deliveries and attempts, and webhook records.
//
// All methods are safe for concurrent use. What a method returned as done is
// on stable storage: it survives a kill of the process and a loss of power.
// The context bounds waiting only: when it ends first the call returns its
// error and what was asked for may still be done. After Close every method
// returns ErrClosed. Byte slices and structs that go in or come out are not
// shared with the store afterwards, with one exception: the Event of a
// Publication and of a Claimed is shared and must not be changed by either side.
//
// Times are the caller's: the store asks no clock what time it is. Only
// Publication.Event's ReceivedAt, ClaimRequest.Now and the like move its time.
type Store interface {
	// Publish stores events with all their deliveries. Each publication is
	// stored whole or not at all, with everything in it; several in one call
	// may be stored in several steps. It returns when all are on stable
	// storage, with one receipt per publication in the same order.
	//
	// An event id is stored once per project. A publication whose project and
	// id are known already, also from earlier in the same call, changes
	// nothing; its receipt carries the stored event. One whose stored event is
	// damaged is stored in its place.
	//
	// On error no publication may be taken as stored. ErrFull, ErrBusy and
	// ErrClosed mean that none was. ErrFull is only for calls with something
	// new: what is known already needs no space.
	Publish(ctx context.Context, pubs []Publication) ([]Receipt, error)

	// Claim takes up to r.Max due deliveries of one webhook for r.Owner, until
	// r.Until. Nobody else is given them before that. It returns none only when
	// none is due, and fewer than are due only if next is not after r.Now.
	// First attempts and retries take turns, each oldest first. A delivery whose
	// record is damaged is never returned: it ends as Corrupt.
	//
	// next is the earliest time at which another delivery of the webhook can
	// be claimed; it may lie in the past (there is more) and is zero when none
	// is pending and unclaimed.
	//
	// Claims are not durable. Those of a process that died end with it or at
	// their deadline, and the deliveries are due again with the attempts they
	// had. Claim and ClaimOne return ErrFull while the space does not suffice to
	// record what would come of an attempt.
	Claim(ctx context.Context, r ClaimRequest) (claimed []Claimed, next time.Time, err error)

	// ClaimOne claims one delivery whatever its status and due time, for an
	// attempt by hand or to make a finished delivery pending again (Finish with
	// Result.Attempt nil). Claimed.Delivery says what it was; if the claim ends
	// without Finish it stays that. ErrClaimed if it is claimed already,
	// ErrNotFound if there is none, ErrCorrupt if its record or its event's is
	// damaged.
	//
	// now ends no claim, for it may come from a clock that was just set. That of
	// another ends by its deadline in the store's own view of the time, which is
	// the Now of the latest Claim, of whichever webhook, as it has gone on since.
	ClaimOne(ctx context.Context, deliveryID, owner string, now, until time.Time) (Claimed, error)

	// Finish records what came of a claimed delivery and ends the claim, in
	// one step. It returns when that is on stable storage. A delivery that
	// stays Pending can be claimed again from Result.NextAttemptAt, and not
	// before Finish has returned.
	Finish(ctx context.Context, c Claim, r Result) error

	// Release ends a claim as if it had not been taken: no attempt counts. The
	// delivery can be claimed again from due on; if the process dies before
	// that, perhaps earlier.
	Release(ctx context.Context, c Claim, due time.Time) error

	// Watch makes the store call fn whenever a delivery of a webhook has
	// become claimable earlier than fn was last told: after Publish, Finish
	// and Release. Before it returns it calls fn for every webhook that has
	// pending deliveries. fn must be quick and must not call the store. There
	// is one watcher; a later call replaces it, and nil ends watching.
	Watch(fn func(webhookID string, due time.Time)) error

	// Backlog counts the pending deliveries of a webhook, claimed ones
	// included; those of all webhooks if webhookID is empty. It is kept in
	// memory: cheap, and right but for calls that are under way.
	Backlog(webhookID string) int

	// Context returns what was last remembered of a project
	// (Publication.Remember), or nil.
	Context(ctx context.Context, projectID string) ([]byte, error)

	// Event returns an event by project and id, or ErrNotFound.
	Event(ctx context.Context, projectID, eventID string) (webhook.Event, error)

	// Events lists the events of a project, newest first.
	Events(ctx context.Context, q EventQuery) (EventPage, error)

	// EventWebhooks returns the webhooks that an event has deliveries for, whatever
	// became of those since: the ids that follow after, ascending, at most limit
	// of them. ErrNotFound if there is no such event, ErrCorrupt if its webhooks
	// cannot be told.
	EventWebhooks(ctx context.Context, projectID, eventID, after string, limit int) ([]string, error)

	// Delivery returns a delivery and its event, or ErrNotFound.
	Delivery(ctx context.Context, deliveryID string) (webhook.Delivery, webhook.Event, error)

	// Attempts returns all recorded attempts of a delivery, oldest first.
	Attempts(ctx context.Context, deliveryID string) ([]webhook.Attempt, error)

	// Deliveries lists the deliveries of a webhook, newest first, pending ones
	// included. The cost of a page does not grow with what lies before it.
	Deliveries(ctx context.Context, q DeliveryQuery) (DeliveryPage, error)

	// Retire removes up to limit events received before the given time, whose
	// deliveries are all finished, with those deliveries, their attempts and
	// the memory of their ids. more says whether another call would find more.
	Retire(ctx context.Context, before time.Time, limit int) (retired int, more bool, err error)

	// EventProjects returns the projects that have an event with this id, at
	// most limit of them, ascending.
	EventProjects(ctx context.Context, eventID string, limit int) ([]string, error)

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

	// Stats returns counts and health, from memory.
	Stats() Stats

	// Close waits for calls under way, refuses new ones, and closes the store.
	// Closing twice is no error.
	Close() error
}

// Publication is one event to be stored with all its deliveries.
type Publication struct {
	Event *webhook.Event

	// NewID says that the gateway made the event's id just now, so that no
	// event can be stored under it yet and the store need not look.
	NewID bool

	// Targets are the webhooks that the event concerns, each at most once.
	Targets []Target

	// Test marks the event's deliveries as Delivery.Test.
	Test bool

	// Remember, if not nil, becomes what is remembered of the event's project.
	// Forget then removes what is remembered.
	Remember []byte
	Forget   bool
}

// Target is a webhook that an event concerns, and how its delivery begins.
type Target struct {
	WebhookID string

	// Status is Pending for a delivery that is due at once; Skipped or
	// FilterError for one that is recorded and not sent.
	Status webhook.Status

	// Reason is recorded with a delivery that is not sent. At most 256 bytes
	// are kept.
	Reason string
}

// Receipt says what became of a publication.
type Receipt struct {
	// Deliveries counts the deliveries that were stored Pending, by the first
	// publication of this id if this one is a repeat.
	Deliveries int

	// Stored is nil for a publication that was stored now. For a repeat it is
	// the event stored under its id; the caller judges whether the content is
	// the same.
	Stored *webhook.Event
}

// ClaimRequest asks for due deliveries of one webhook.
type ClaimRequest struct {
	WebhookID string
	Owner     string    // who asks, for diagnosis: the process instance
	Max       int       // at least 1
	Now       time.Time // what is due at this time is due
	Until     time.Time // the claims' deadline
}

// Claim is the exclusive right to attempt a delivery and to record the result.
type Claim struct {
	DeliveryID string
	WebhookID  string
	Owner      string
	Token      uint64 // tells this claim of the delivery from any other
	Until      time.Time
}

// Claimed is a delivery that was claimed, with its event.
type Claimed struct {
	Claim    Claim
	Delivery webhook.Delivery // its LastAttempt is nil
	Event    *webhook.Event
}

// Result is what came of a claimed delivery.
type Result struct {
	// Attempt is the attempt that was made; nil if none was (the webhook is
	// disabled or gone). Its Number must be Delivery.Attempts + 1.
	Attempt *webhook.Attempt

	// Status is what the delivery now is.
	Status webhook.Status

	// NextAttemptAt is when it is due again; only for Pending.
	NextAttemptAt time.Time

	// Step is the delivery's new Delivery.Step.
	Step int

	// Reason is recorded with the status. May be empty.
	Reason string

	// At is when the delivery came to its status. Zero: at the end of the
	// attempt or, if none was made, when it was claimed.
	At time.Time

	// Replay makes the delivery's ReplayedAt the time At.
	Replay bool
}

// EventQuery selects a page of a project's events.
type EventQuery struct {
	ProjectID string
	Cursor    string // empty: the newest
	Limit     int    // at least 1
}

// EventPage is a page of events, newest first. Next is empty on the last page.
// A page can be short, even empty, while Next is set.
type EventPage struct {
	Events []webhook.Event
	Next   string
}

// DeliveryQuery selects a page of a webhook's deliveries. Zero fields do not
// restrict.
type DeliveryQuery struct {
	WebhookID    string // required
	Status       webhook.Status
	EventType    string
	EventID      string
	Since, Until time.Time // created in [Since, Until)
	Cursor       string    // empty: the newest
	Limit        int       // at least 1
}

// DeliveryPage is a page of deliveries, newest first, with their last
// attempts. Next is empty on the last page. A page can be short, even empty,
// while Next is set: a filter that matches little is answered in pieces.
type DeliveryPage struct {
	Deliveries []webhook.Delivery
	Next       string
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
