package webhook_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestDurationsReadWhatTheyWrite(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "2d": 48 * time.Hour, "1m": time.Minute, "36h": 36 * time.Hour, "1500ms": 1500 * time.Millisecond,
		"0s": 0, "1ns": 1, "-1d": -24 * time.Hour,
	} {
		if got, err := webhook.ParseDuration(text); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
		if got := webhook.FormatDuration(want); got != text {
			t.Errorf("FormatDuration(%v) = %s, want %s", want, got, text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "d"))
		d -= d % rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Hour, 24 * time.Hour}).Draw(t, "unit")
		text := webhook.FormatDuration(d)
		if got, err := webhook.ParseDuration(text); got != d || err != nil {
			t.Errorf("%d is written %s and read as %d, %v", d, text, got, err)
		}
	})
}

// That Caddy reads the same is tested in package caddymodule.
func TestDurationsInOtherForms(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "1h1d": 25 * time.Hour, "1h30m": 90 * time.Minute, "1d1d": 48 * time.Hour, "0": 0, ".5d": 12 * time.Hour,
	} {
		if got, err := webhook.ParseDuration(text); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "d", ".d", "1w", "1D", " 1d", "1d ", "1e2d", "1..5d", "µ1d", "106752d", "99999999999d", "soon"} {
		if got, err := webhook.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}
