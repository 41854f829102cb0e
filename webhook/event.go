package webhook

import "time"

// Event is an accepted fact. It never changes after it was accepted; share it
// freely between goroutines, and do not write to its byte slices.
type Event struct {
	// ID is the producer's id, or "evt_" and a ULID. Unique per project.
	ID string

	// Type is the event type: "project.created".
	Type string

	// ProjectID names the project the event belongs to.
	ProjectID string

	// CreatedAt is the event's time in RFC 3339, the text as it came.
	CreatedAt string

	// APIVersion is the "api_version" member.
	APIVersion string

	// Source is the CloudEvents source attribute, kept for the log. It may be
	// empty and is never sent to receivers.
	Source string

	// ReceivedAt is when the gateway accepted the event.
	ReceivedAt time.Time

	// Body is the canonical body (contract section 1): the bytes that are
	// signed, sent, re-sent, replayed and shown.
	Body []byte

	// Context is the project object that the event itself brought for
	// filters, canonical; nil when it brought none. It is never sent to
	// receivers.
	Context []byte
}

// Data returns the canonical bytes of the event's "data" member: a part of
// Body, not a copy.
func (e *Event) Data() []byte {
	head := len(`{"id":"","type":"","data":`) + len(e.ID) + len(e.Type)
	tail := len(`,"created_at":"","api_version":""}`) + len(e.CreatedAt) + len(e.APIVersion)
	if len(e.Body) < head+tail {
		return nil
	}
	return e.Body[head : len(e.Body)-tail]
}
