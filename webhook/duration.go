package webhook

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// maxDuration bounds the text of a duration, in bytes.
const maxDuration = 64

var errDuration = errors.New(`a duration is one or several numbers with a unit out of "ns us ms s m h d": 90s, 1h30m, 2d`)

// ParseDuration reads what Caddy reads (contract section 3, Limits): a duration
// of package time, with days ("d", 24 hours) as a further unit: "90s", "1d12h",
// "0.5d". It may be negative. The error never repeats the text.
func ParseDuration(text string) (time.Duration, error) {
	if len(text) > maxDuration {
		return 0, errDuration
	}
	var hours strings.Builder // the text with hours for days
	for {
		before, after, found := strings.Cut(text, "d")
		if !found {
			break
		}
		others := strings.TrimRight(before, "0123456789.")
		days, err := strconv.ParseFloat(before[len(others):], 64)
		if err != nil || days > math.MaxInt64/float64(day) {
			return 0, errDuration
		}
		hours.WriteString(others)
		hours.WriteString(strconv.FormatFloat(days*24, 'f', -1, 64))
		hours.WriteByte('h')
		text = after
	}
	d, err := time.ParseDuration(hours.String() + text)
	if err != nil {
		return 0, errDuration
	}
	return d, nil
}

// FormatDuration writes a duration in the largest unit that divides it: "90s",
// "36h", "2d". ParseDuration reads it.
func FormatDuration(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return d.String()
}
