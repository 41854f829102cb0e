package caddymodule_test

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/webhook"
)

// TestDurationsAreReadAsCaddyReadsThem: the API and the dashboard read what the
// Caddyfile takes.
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
	got, err := webhook.ParseDuration(text)
	want, wantErr := caddy.ParseDuration(text)
	if (err == nil) != (wantErr == nil) || got != want {
		t.Errorf("%q: %v, %v; Caddy gives %v, %v", text, got, err, want, wantErr)
	}
}
