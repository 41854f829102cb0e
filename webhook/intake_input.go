package webhook

import (
	"bytes"
	"slices"
	"time"
)

// Input is one event as a producer gave it, checked and canonical, before it is
// accepted. Its byte slices share memory with each other; do not write to them.
type Input struct {
	// ID is the producer's id. Empty: the gateway makes one.
	ID string

	// Type is an event type that the catalogue knows.
	Type string

	// ProjectID names the project: from project.id, project_id, data.id of
	// project.* events, or Intake.DefaultProject. Never empty.
	ProjectID string

	// Project is what the event itself says about its project, for filters and
	// to be remembered, canonical: the envelope's "project" if it has members
	// beside "id"; for project.* events "data", if data.id is the project's id;
	// else nil.
	Project []byte

	// Data is the canonical "data" object.
	Data []byte

	// CreatedAt is the RFC 3339 text as it came; empty when there was none.
	CreatedAt string

	// APIVersion is the version as it came; empty when there was none.
	APIVersion string

	// Source is the CloudEvents source; empty for other events.
	Source string
}

// DefaultAPIVersion is the API version of events that name none, unless
// configured (contract section 1).
const DefaultAPIVersion = "2021-09-01"

// timeFormat is how the gateway writes times of its own: RFC 3339 in UTC with
// milliseconds, as JavaScript does.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Event returns the event that i becomes when it is accepted at now. What the
// producer left open is filled in: an id, now as created_at, and apiVersion
// (which must satisfy ValidAPIVersion). The event does not share memory with i.
func (i Input) Event(now time.Time, apiVersion string) Event {
	if i.ID == "" {
		i.ID = NewEventID(now)
	}
	if i.CreatedAt == "" {
		i.CreatedAt = now.UTC().Format(timeFormat)
	}
	if i.APIVersion == "" {
		i.APIVersion = apiVersion
	}
	e := Event{
		ID:         i.ID,
		Type:       i.Type,
		ProjectID:  i.ProjectID,
		CreatedAt:  i.CreatedAt,
		APIVersion: i.APIVersion,
		Source:     i.Source,
		ReceivedAt: now,
	}
	dataIsProject := i.dataIsProject()
	room := i.bodySize()
	if !dataIsProject {
		room += len(i.Project)
	}
	b := make([]byte, 0, room)
	// Only data can hold anything that needs an escape, and it is canonical.
	b = append(append(b, `{"id":"`...), i.ID...)
	b = append(append(b, `","type":"`...), i.Type...)
	b = append(append(b, `","data":`...), i.Data...)
	b = append(append(b, `,"created_at":"`...), i.CreatedAt...)
	b = append(append(b, `","api_version":"`...), i.APIVersion...)
	b = append(b, `"}`...)
	e.Body = slices.Clip(b)
	switch {
	case dataIsProject:
		e.Context = e.Data()
	case i.Project != nil:
		e.Context = append(b, i.Project...)[len(b):]
	}
	return e
}

// SameContent reports whether i, which has the id of the stored event, is a
// repeat of it: equal type, canonical data and project, and equal created_at
// and api_version where i carries them (contract section 2, "Repeats").
func (i Input) SameContent(stored *Event) bool {
	return i.Type == stored.Type &&
		i.ProjectID == stored.ProjectID &&
		(i.CreatedAt == "" || i.CreatedAt == stored.CreatedAt) &&
		(i.APIVersion == "" || i.APIVersion == stored.APIVersion) &&
		bytes.Equal(i.Data, stored.Data())
}

// dataIsProject reports whether Project is Data itself.
func (i *Input) dataIsProject() bool {
	return len(i.Project) > 0 && len(i.Project) == len(i.Data) && &i.Project[0] == &i.Data[0]
}

// bodySize returns the size of the body. Of what the gateway will fill in it
// takes the most there can be.
func (i *Input) bodySize() int {
	size := func(text string, most int) int {
		if text == "" {
			return most
		}
		return len(text)
	}
	return len(`{"id":"","type":"","data":,"created_at":"","api_version":""}`) +
		size(i.ID, len("evt_01J9Z3Q8M5ABCDEFGHJKMNPQRS")) +
		len(i.Type) +
		len(i.Data) +
		size(i.CreatedAt, len(timeFormat)) +
		size(i.APIVersion, maxAPIVersion)
}

// size returns what is stored of the event: the body and the project context
// that is kept beside it.
func (i *Input) size() int {
	if i.dataIsProject() {
		return i.bodySize()
	}
	return i.bodySize() + len(i.Project)
}
