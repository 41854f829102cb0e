package signer_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// TestLiveSecretsAreThoseThatSign signs with all secrets and with the live ones
// only.
func TestLiveSecretsAreThoseThatSign(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	secret := rapid.Custom(func(t *rapid.T) webhook.Secret {
		s := webhook.Secret{
			Value: rapid.SampledFrom(append([]string{""}, sampleSecrets...)).Draw(t, "value"),
			Role: rapid.SampledFrom([]webhook.SecretRole{
				"", webhook.SecretPrimary, webhook.SecretPrevious, webhook.SecretNext,
			}).Draw(t, "role"),
		}
		if hours := rapid.IntRange(0, 3).Draw(t, "hours"); hours > 0 {
			s.ExpiresAt = start.Add(time.Duration(hours) * time.Hour)
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(secret, 0, 4).Draw(t, "secrets")
		now := start.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "now")) * time.Hour)
		live := signer.Live(now, secrets)
		body := []byte(`{"id":"evt_1"}`)
		want := signer.New(secrets).Sign(now, "evt_1", body)
		if diff := cmp.Diff(want, signer.New(live).Sign(now, "evt_1", body)); diff != "" {
			t.Errorf("all secrets sign otherwise than the live ones (-all +live)\n%s", diff)
		}
		if diff := cmp.Diff(live, signer.Live(now, live)); diff != "" {
			t.Errorf("live secrets are not all live (-want +got)\n%s", diff)
		}
	})
}
