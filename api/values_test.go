package api

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2" //nolint:depguard // what this package must agree with
	"pgregory.net/rapid"
)

// TestDurationsAreReadAsCaddyReadsThem compares with Caddy's own parser.
func TestDurationsAreReadAsCaddyReadsThem(t *testing.T) {
	for _, text := range []string{
		"", "0", "0s", "90s", "2d", "1d12h", "1.5d", "1h1d", "-1d", "1d1d", "d", ".d", "1", "1w", "1D", " 1d", "1d ", "1e2d", "1ms", "106751d", "106752d", "1h-1d",
		"9999999999999999999999d", "1..5d", "+1d", "1d-2h",
	} {
		sameAsCaddy(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		sameAsCaddy(t, rapid.StringMatching(`[-+]?([0-9]{0,4}(\.[0-9]{0,3})?(ns|us|ms|s|m|h|d|x)){0,4}`).Draw(t, "text"))
	})
}

func sameAsCaddy(t interface {
	Errorf(string, ...any)
}, text string) {
	got, err := parseDuration(text)
	want, wantErr := caddy.ParseDuration(text)
	if (err == nil) != (wantErr == nil) || got != want {
		t.Errorf("%q: %v, %v; Caddy gives %v, %v", text, got, err, want, wantErr)
	}
}

func TestDurationsAreWrittenSoThatTheyReadTheSame(t *testing.T) {
	for d, want := range map[time.Duration]string{
		90 * time.Second: "90s", 48 * time.Hour: "2d", time.Minute: "1m", 36 * time.Hour: "36h", 1500 * time.Millisecond: "1500ms", 0: "0s", 1: "1ns",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(400*day)).Draw(t, "d"))
		if got, err := parseDuration(formatDuration(d)); got != d || err != nil {
			t.Errorf("%d is written %s and read as %d, %v", d, formatDuration(d), got, err)
		}
	})
}
