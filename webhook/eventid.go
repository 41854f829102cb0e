package webhook

import (
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewEventID returns an id for an event that came without one: "evt_" and a
// ULID of t, so that ids sort by time to the millisecond. Its other 80 bits are
// random. It is safe for concurrent use.
func NewEventID(t time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(uint64(max(0, t.UnixMilli()))) // fails from the year 10889 on; the id is random still
	_, _ = rand.Read(id[6:])                      // never fails, see its documentation
	text := make([]byte, len("evt_")+ulid.EncodedSize)
	copy(text, "evt_")
	_ = id.MarshalTextTo(text[len("evt_"):]) // fails for another length only
	return string(text)
}

// ValidEventID reports whether s may be the id of an event:
// [A-Za-z0-9_:-]{1,128} (contract section 1).
func ValidEventID(s string) bool { return eventIDChars.match(s, 128) }

// ValidProjectID reports whether s may be the id of a project:
// [A-Za-z0-9_.:-]{1,128} (contract section 2).
func ValidProjectID(s string) bool { return projectIDChars.match(s, 128) }

// ProjectIDRule says what ValidProjectID takes.
const ProjectIDRule = "1 to 128 of the characters A-Z a-z 0-9 _ . : -"

// ValidAPIVersion reports whether s may be an event's api_version:
// [A-Za-z0-9._-]{1,64}. The contract leaves its form open; a date or a number
// fits, and nothing that would need an escape in JSON or a header does.
func ValidAPIVersion(s string) bool { return apiVersionChars.match(s, maxAPIVersion) }

const maxAPIVersion = 64

// ValidEventType reports whether s is a well-formed event type: lower-case
// words joined by dots, [a-z0-9_]+(\.[a-z0-9_]+)+, at most 128 bytes (contract
// section 1). Whether the catalogue has it is another question.
func ValidEventType(s string) bool {
	if len(s) > 128 {
		return false
	}
	words, letters := 1, 0
	for i := range len(s) {
		switch {
		case wordChars[s[i]]:
			letters++
		case s[i] == '.' && letters > 0:
			words++
			letters = 0
		default:
			return false
		}
	}
	return words > 1 && letters > 0
}

// charset is a set of bytes.
type charset [256]bool

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

var (
	eventIDChars    = newCharset(alphanumeric + "_:-")
	projectIDChars  = newCharset(alphanumeric + "_.:-")
	apiVersionChars = newCharset(alphanumeric + "._-")
	wordChars       = newCharset("abcdefghijklmnopqrstuvwxyz0123456789_")
)

func newCharset(chars string) *charset {
	var set charset
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return &set
}

// match reports whether s is 1 to limit bytes long and has only bytes of the set.
func (c *charset) match(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !c[s[i]] {
			return false
		}
	}
	return true
}
