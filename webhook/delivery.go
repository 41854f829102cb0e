package webhook

import "time"

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID        string // "dlv_…", unique
	WebhookID string
	EventID   string
	EventType string
	ProjectID string

	Status Status

	// Reason says why the delivery has its status where the status alone does
	// not: one of Reasons, or the text of a filter error. May be empty.
	Reason string

	// Attempts counts the attempts that were made and recorded.
	Attempts int

	// Step counts those of them that the schedule asked for. A manual retry
	// uses up no step.
	Step int

	// NextAttemptAt is when the next attempt falls due. Zero unless Status is
	// Pending.
	NextAttemptAt time.Time

	CreatedAt time.Time

	// ReplayedAt is when a replay last made it pending again; zero if none
	// did. Its age counts from then on.
	ReplayedAt time.Time

	// FinishedAt is when Status last left Pending. Zero while pending.
	FinishedAt time.Time

	// LastAttempt is the latest recorded attempt; nil before the first.
	LastAttempt *Attempt

	// Test marks a delivery of a test event.
	Test bool
}

// Status is where a delivery stands (contract section 3).
type Status string

const (
	Pending     Status = "pending"      // an attempt is due, now or later
	Delivered   Status = "delivered"    // a receiver answered 2xx
	Failed      Status = "failed"       // the last attempt of the schedule failed
	Skipped     Status = "skipped"      // never sent: webhook disabled or backlog full
	Cancelled   Status = "cancelled"    // its webhook is gone
	FilterError Status = "filter_error" // the webhook's filter failed on the event
	Corrupt     Status = "corrupt"      // its stored record does not match its checksum; never sent
)

// Statuses lists every Status, in the order above.
var Statuses = []Status{Pending, Delivered, Failed, Skipped, Cancelled, FilterError, Corrupt}

// Why a delivery has its status, beside why its webhook was disabled (ReasonGone
// and so on).
const (
	ReasonDisabled     = "disabled"      // skipped: its webhook is disabled, and it is not known why
	ReasonBacklogFull  = "backlog_full"  // skipped: too many of its webhook were pending
	ReasonOtherProject = "other_project" // skipped: the configuration has given its webhook to another project
	ReasonExpired      = "expired"       // failed or cancelled: it was pending for too long
	ReasonTest         = "test"          // skipped: of a test event, not sent yet, or not because the process ended
	ReasonNotSent      = "not_sent"      // failed: of a test event that the gateway itself could not send, or cut short
)

// Reasons lists every Reason of a delivery but the texts of filter errors.
var Reasons = []string{
	ReasonGone, ReasonFailing, ReasonManual, ReasonDisabled, ReasonBacklogFull, ReasonOtherProject,
	ReasonExpired, ReasonTest, ReasonNotSent,
}

// Attempt is one HTTP request of a delivery and what came of it.
type Attempt struct {
	Number    int           // from 1
	StartedAt time.Time     // when DNS resolution or the request began
	Duration  time.Duration // to the end of the response headers, or to the failure

	Outcome Outcome

	// StatusCode is the HTTP status; zero when no status line arrived.
	StatusCode int

	// Error says in plain words why the attempt failed; empty on success. It
	// holds no header value and tells nothing about internal ports.
	Error string

	ResponseHeaders   []Header // as received but for Masked values, at most MaxRecordedHeaderBytes in all
	ResponseBody      []byte   // at most MaxResponseBody bytes, as received
	ResponseTruncated bool     // whether there was more, or reading it failed

	SourceIP string // local address; empty when no connection was made
	RemoteIP string // the receiver's (or the proxy's) address; empty likewise

	Trigger Trigger
}

const (
	// MaxResponseBody is how much of a response body is read and recorded, in
	// bytes (contract section 1).
	MaxResponseBody = 16 << 10

	// MaxRecordedHeaderBytes is how much of the response headers is recorded,
	// in bytes, names and values together.
	MaxRecordedHeaderBytes = 8 << 10
)

// Header is one HTTP header field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Trigger is why an attempt was made.
type Trigger string

const (
	BySchedule Trigger = "schedule"
	Manually   Trigger = "manual"
	ByReplay   Trigger = "replay"
	ByTest     Trigger = "test"
)

// Outcome classifies an attempt. The list is closed: it is a metric label and
// part of the API (contract section 3).
type Outcome string

const (
	Success         Outcome = "success"           // 2xx
	HTTP1xx         Outcome = "http_1xx"          // 101, or another final status below 200
	HTTP3xx         Outcome = "http_3xx"          // redirects are not followed
	HTTP4xx         Outcome = "http_4xx"          //
	HTTP5xx         Outcome = "http_5xx"          //
	Timeout         Outcome = "timeout"           // no response headers within the timeout
	DNS             Outcome = "dns"               // the name did not resolve
	Connect         Outcome = "connect"           // no TCP connection
	TLS             Outcome = "tls"               // handshake or certificate
	Reset           Outcome = "reset"             // the connection broke before the response headers
	BlockedAddress  Outcome = "blocked_address"   // the address guard refused
	NoAddressFamily Outcome = "no_address_family" // no source address of the receiver's IP family
	HeadersTooLarge Outcome = "headers_too_large" // response headers over 64 KiB
	BadResponse     Outcome = "bad_response"      // not HTTP, or a status over 599
	Proxy           Outcome = "proxy"             // the configured proxy refused or failed
	Panicked        Outcome = "panic"             // a fault of the gateway while sending
)

// Outcomes lists every Outcome, in the order above.
var Outcomes = []Outcome{
	Success, HTTP1xx, HTTP3xx, HTTP4xx, HTTP5xx, Timeout, DNS, Connect, TLS, Reset,
	BlockedAddress, NoAddressFamily, HeadersTooLarge, BadResponse, Proxy, Panicked,
}
