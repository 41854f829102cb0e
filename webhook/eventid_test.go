package webhook_test

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestNewEventIDIsAULIDOfTheTime(t *testing.T) {
	now := time.Date(2024, 1, 2, 3, 4, 5, 678e6, time.UTC)
	id := webhook.NewEventID(now)
	text, ok := strings.CutPrefix(id, "evt_")
	if !ok {
		t.Fatalf("got %s", id)
	}
	parsed, err := ulid.ParseStrict(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := ulid.Time(parsed.Time()); !got.Equal(now) {
		t.Errorf("the ULID says %v, want %v", got, now)
	}
	if !webhook.ValidEventID(id) {
		t.Errorf("%s is no valid event id", id)
	}
}

func TestNewEventIDTakesAnyTime(t *testing.T) {
	for _, now := range []time.Time{{}, time.Unix(-1, 0), time.Unix(math.MaxInt32*1000, 0), time.UnixMilli(math.MaxInt64)} {
		if id := webhook.NewEventID(now); !webhook.ValidEventID(id) {
			t.Errorf("at %v: %q", now, id)
		}
	}
}

func TestNewEventIDsDiffer(t *testing.T) {
	now := time.Now()
	seen := map[string]bool{}
	for range 10_000 {
		seen[webhook.NewEventID(now)] = true
	}
	if len(seen) != 10_000 {
		t.Errorf("%d different ids of 10000", len(seen))
	}
}

func TestIDsAreWhatTheContractAllows(t *testing.T) {
	for _, tt := range []struct {
		name    string
		valid   func(string) bool
		pattern string
	}{
		{"event id", webhook.ValidEventID, `^[A-Za-z0-9_:-]{1,128}$`},
		{"project id", webhook.ValidProjectID, `^[A-Za-z0-9_.:-]{1,128}$`},
		{"API version", webhook.ValidAPIVersion, `^[A-Za-z0-9._-]{1,64}$`},
		{"event type", webhook.ValidEventType, `^[a-z0-9_]+(\.[a-z0-9_]+)+$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pattern := regexp.MustCompile(tt.pattern)
			rapid.Check(t, func(t *rapid.T) {
				s := rapid.OneOf(
					rapid.StringMatching(`[a-z0-9_.]{0,6}`),
					rapid.StringMatching(`[A-Za-z0-9_.:-]{0,8}[ /*é\n]?`),
					rapid.StringMatching(`[a-z.]{126,130}`),
					rapid.StringMatching(`[a-z]{62,66}`),
				).Draw(t, "s")
				want := pattern.MatchString(s) && len(s) <= 128
				if got := tt.valid(s); got != want {
					t.Fatalf("%q: got %v, want %v", s, got, want)
				}
			})
		})
	}
}
