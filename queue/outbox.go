package queue

import (
	"context"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Outbox takes events in and gives their deliveries out: a delivery that is
// pending is claimed when it is due, attempted, and finished, which makes it
// pending again or ends it. All of it but claims is durable.
type Outbox interface {
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
	// none is due, and fewer than are due only if next is not after r.Now or r.Due.
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
	// By that time the claim lasts for until minus now at least, although it may be
	// later than now.
	ClaimOne(ctx context.Context, deliveryID, owner string, now, until time.Time) (Claimed, error)

	// Finish records what came of a claimed delivery and ends the claim, in
	// one step. It returns when that is on stable storage. A delivery that
	// stays Pending can be claimed again from Result.NextAttemptAt, and not
	// before Finish has returned. ErrClaimLost if the claim has ended; ErrFull if
	// there is no space left, and then the claim goes on.
	Finish(ctx context.Context, c Claim, r Result) error

	// Release ends a claim as if it had not been taken: no attempt counts. The
	// delivery can be claimed again from due on; if the process dies before
	// that, perhaps earlier. ErrClaimLost if the claim has ended.
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
	Due       time.Time // what falls due by then is due, too; zero: no more than by Now
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
