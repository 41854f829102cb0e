package webhook_test

import (
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestParseTimeReadsWhatTheRFCHas(t *testing.T) {
	want := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"2024-01-01T00:00:00Z", "2024-01-01t00:00:00z", "2024-01-01T02:30:00+02:30", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00-00:00"} {
		if got, ok := webhook.ParseTime(text); !ok || !got.Equal(want) {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "2024-01-01", "2024-01-01T0:00:00Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+23:60",
		"2024-01-01T00:00:60Z", "2024-02-30T00:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00+0100",
	} {
		if _, ok := webhook.ParseTime(text); ok {
			t.Errorf("%q is taken", text)
		}
	}
}
