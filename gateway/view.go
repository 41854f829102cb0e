package gateway

import (
	"encoding/json"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Masked stands for a value that is not shown. Sent back in a change, it leaves
// the stored value as it is (contract section 3).
const Masked = webhook.Masked

// Webhook is a webhook as those who manage it see it: it holds no secret, and
// the values of headers that may be secret are Masked.
type Webhook struct {
	WebhookSpec // Secret is empty

	ID             string
	ProjectID      string // webhook.AllProjects only for static webhooks
	DisabledReason string // a webhook.Reason… constant while Status is Disabled, else empty
	Secrets        []SecretHint
	Static         bool
	CreatedAt      time.Time
	UpdatedAt      time.Time

	// Problem says why the webhook gets nothing although it is active: its
	// stored filter no longer compiles under the present settings. Empty
	// while all is well.
	Problem string

	// Version changes with every change of the webhook. It is an ETag without
	// its quotes.
	Version string
}

// WebhookSpec is what those who manage a webhook decide about it. Zero values
// are the defaults.
type WebhookSpec struct {
	URL         string
	Description string
	Events      []string // catalogue names, "project.*", "*"
	Filters     map[string]json.RawMessage
	Filter      string // expr
	Headers     []webhook.Header
	Status      webhook.State // empty is Active

	Retry       []time.Duration // nil: the setting stands; empty: no retries
	Timeout     time.Duration
	Rate        webhook.Rate
	Concurrency int

	// Secret is only read. In a creation, empty asks for a generated one; in a
	// change, empty leaves what is there and another value replaces it at once,
	// ending a rotation.
	Secret string
}

// SecretHint tells a secret from another without showing it.
type SecretHint struct {
	Hint      string
	Role      webhook.SecretRole
	ExpiresAt time.Time // zero: it does not end
}

// Rotation asks for another secret (contract section 3).
type Rotation struct {
	Secret  string             // empty: generated
	Overlap time.Duration      // zero: none, the old secret ends at once
	Primary webhook.SecretRole // webhook.SecretPrimary: the new one signs at once; SecretPrevious: the old one goes on. Empty is SecretPrimary
	Force   bool               // also within the overlap of an earlier rotation
}

// Page asks for a part of a list. Cursor is empty for the first, else what
// the part before it gave. Limit is 1 to MaxPage.
type Page struct {
	Cursor string
	Limit  int
}

// The sizes of pages (contract section 3).
const (
	DefaultPage = 50
	MaxPage     = 200
)

// DeliveryFilter selects deliveries. Zero fields do not restrict.
type DeliveryFilter struct {
	Status       webhook.Status
	EventType    string
	EventID      string
	Since, Until time.Time // created in [Since, Until)
}

// DeliveryDetail is a delivery with everything that is known of it. Secrets in
// headers are Masked.
type DeliveryDetail struct {
	webhook.Delivery
	Payload        []byte // the exact body
	RequestHeaders []webhook.Header
	AttemptLog     []webhook.Attempt // oldest first
}

// TestRequest asks for a test event. Zero fields: the first type that the
// webhook subscribes to by name or wildcard, and that type's sample.
type TestRequest struct {
	Type string
	Data json.RawMessage
}

// ReplayRequest selects the deliveries to send again: those created in [Since,
// Until) that have one of the statuses. Until zero is now; no status is Failed.
type ReplayRequest struct {
	Since, Until time.Time
	Status       []webhook.Status
	DryRun       bool // only count
}

// Replay is the progress of a replay. A dry run has no ID.
type Replay struct {
	ID           string // "rpl_…"
	WebhookID    string
	ProjectID    string
	Since, Until time.Time
	Status       []webhook.Status
	State        ReplayState
	Count        int // deliveries that were selected
	Done         int // of them made pending again, or found changed meanwhile
	CreatedAt    time.Time
	FinishedAt   time.Time // zero while running
}

// ReplayState is where a replay stands.
type ReplayState string

const (
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
)

// EventDetail is an event and a page of what became of it per webhook.
type EventDetail struct {
	webhook.Event
	Webhooks []EventOutcome
	Next     string
}

// EventOutcome is what became of an event for one webhook of its project.
type EventOutcome struct {
	WebhookID  string
	Result     string // a webhook.Status, or a Result… constant
	DeliveryID string // empty if there is no delivery
	Error      string // of the filter
	Computed   bool   // judged now, because there is no delivery
}

// The results of webhooks that got no delivery (contract section 3).
const (
	ResultFiltered      = "filtered"       // its filter does not match
	ResultNotSubscribed = "not_subscribed" // it does not subscribe to the type
	ResultCreatedLater  = "created_later"  // it did not exist then
)

// FilterTest is a filter to be tried on an event: one of Envelope and EventID
// says which. Of Filters and Filter, those that are set must match.
type FilterTest struct {
	Filters   map[string]json.RawMessage
	Filter    string
	Envelope  []byte // an event as ingest takes it
	EventID   string
	ProjectID string // the project of EventID; of Envelope if it names none
}

// FilterVerdict is what a filter made of an event.
type FilterVerdict struct {
	Match bool
	Err   error // why the filter failed on the event; it did not match then
}

// Health is whether the gateway does its work.
type Health struct {
	Status HealthStatus
	Checks map[string]HealthCheck // by name: "store", "disk", "delivery"
}

// HealthCheck is one part of Health. Detail is empty while Status is HealthOK.
type HealthCheck struct {
	Status HealthStatus `json:"status"`
	Detail string       `json:"detail,omitempty"`
}

// HealthStatus orders from good to bad.
type HealthStatus string

const (
	HealthOK          HealthStatus = "ok"
	HealthDegraded    HealthStatus = "degraded"    // events are taken, but something needs a look
	HealthUnavailable HealthStatus = "unavailable" // events are not taken
)
