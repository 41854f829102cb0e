package webhook

import (
	"strings"
	"time"
)

// ParseTime reads a time as RFC 3339 has it, T and Z in either case. It is as
// strict as intake is with created_at: package time by itself takes more than
// the RFC allows.
func ParseTime(text string) (time.Time, bool) {
	text = strings.ToUpper(text)
	if !validTime([]byte(text)) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return t, err == nil
}
