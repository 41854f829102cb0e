package webhook

import (
	"encoding/json"
	"time"
)

// Subscription is a webhook: one receiver's subscription to events of a
// project. Treat a Subscription that is in use as immutable: change a copy and
// replace it.
type Subscription struct {
	// ID is "wh_" and a ULID, or "wh_" and the name of a static webhook.
	ID string

	// ProjectID names the project whose events it gets. AllProjects is for
	// static webhooks only.
	ProjectID string

	URL         string
	Description string

	// Events holds catalogue names, "project.*" or "*".
	Events []string

	// Filters is the map form: dotted path to a JSON scalar or a non-empty
	// array of scalars (any of). All entries must match. Nil matches all.
	Filters map[string]json.RawMessage

	// Filter is the expression form; empty matches all. FilterEngine names the
	// engine that reads it; empty is "expr".
	Filter       string
	FilterEngine string

	// Headers are sent with every attempt, in this order. Values may be secret.
	Headers []Header

	State          State
	DisabledReason string // a Reason… constant while State is Disabled, else empty

	// Retry, Timeout, Rate and Concurrency override the gateway's settings.
	// Retry nil, the others zero: the setting stands. Retry empty: no retries.
	Retry       []time.Duration
	Timeout     time.Duration
	Rate        Rate
	Concurrency int

	// Secrets has one entry, or two while a rotation overlaps. The first signs
	// x-tengine-signature. Empty: deliveries carry no signature.
	Secrets []Secret

	// Static is true for webhooks declared in the configuration
	// (source "config"), false for those of the API.
	Static bool

	CreatedAt time.Time
	UpdatedAt time.Time
}

// GetsEventsOf says whether the webhook is for the events of a project.
func (s *Subscription) GetsEventsOf(projectID string) bool { return IsFor(s.ProjectID, projectID) }

// IsFor says whether what is whose, a project's or that of AllProjects, is for the
// events of a project.
func IsFor(whose, projectID string) bool { return whose == AllProjects || whose == projectID }

// AllProjects is the ProjectID of a static webhook that gets the events of
// every project.
const AllProjects = "*"

// Secret is a signing secret.
type Secret struct {
	// Value is used verbatim as UTF-8 (contract section 1).
	Value string

	// Role says in which header the secret signs.
	Role SecretRole

	// ExpiresAt ends a secret's part in a rotation. Zero: it does not end.
	ExpiresAt time.Time
}

// SecretRole is a secret's part in a rotation.
type SecretRole string

const (
	SecretPrimary  SecretRole = "primary"  // signs x-tengine-signature
	SecretPrevious SecretRole = "previous" // signs x-tengine-signature-previous
	SecretNext     SecretRole = "next"     // signs x-tengine-signature-next
)

// State is whether a webhook takes deliveries.
type State string

const (
	Active   State = "active"
	Paused   State = "paused"   // what falls due is held
	Disabled State = "disabled" // new and pending deliveries are skipped
)

// Why a webhook is disabled (contract section 3), and its deliveries ended.
const (
	ReasonGone    = "gone"    // its receiver answered 410
	ReasonFailing = "failing" // nothing but failures for the configured time
	ReasonManual  = "manual"  // somebody disabled it
)

// Rate is a limit of N attempts in Per. The zero Rate is no limit.
type Rate struct {
	N   int
	Per time.Duration
}
