package dashboard

import (
	"errors"
	"time"
)

var errNoTime = errors.New("no time")

// localTime reads what an <input type="datetime-local"> sends, as UTC, or a
// time in RFC 3339.
func localTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errNoTime
}
