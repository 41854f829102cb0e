package signer_test

import (
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// GitHub publishes this vector for its X-Hub-Signature-256, which has the same
// form: "Validating webhook deliveries", testing the webhook payload validation.
func TestSignsLikeGitHubsVector(t *testing.T) {
	s := signer.New([]webhook.Secret{{Value: "It's a Secret to Everybody", Role: webhook.SecretPrimary}})
	got := s.Sign(time.Unix(0, 0), "evt_1", []byte("Hello, World!")).Tengine
	want := "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The vector that the Standard Webhooks libraries carry in their tests.
func TestSignsLikeStandardWebhooksVector(t *testing.T) {
	s := signer.New([]webhook.Secret{{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Role: webhook.SecretPrimary}})
	got := s.Sign(time.Unix(1614265330, 0), "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got.Standard != want {
		t.Errorf("webhook-signature: got %s, want %s", got.Standard, want)
	}
	if want := "1614265330"; got.Timestamp != want {
		t.Errorf("webhook-timestamp: got %s, want %s", got.Timestamp, want)
	}
	if want := "msg_p5jXN8AQM9LWM0D4loKWxJek"; got.ID != want {
		t.Errorf("webhook-id: got %s, want %s", got.ID, want)
	}
}

func TestStandardWebhooksLibraryAcceptsOurSignatures(t *testing.T) {
	for _, secret := range sampleSecrets {
		t.Run(secret, func(t *testing.T) {
			s := signer.New([]webhook.Secret{{Value: secret, Role: webhook.SecretPrimary}})
			for _, body := range []string{"", "{}", `{"name":"Zürich \u2028 🦊","n":1e+21}`} {
				h := header(s.Sign(time.Now(), "evt_01J9Z3Q8M5", []byte(body)))
				if err := library(t, secret).Verify([]byte(body), h); err != nil {
					t.Errorf("body %q: %v", body, err)
				}
				if err := library(t, secret).Verify([]byte(body+" "), h); err == nil {
					t.Errorf("body %q: a changed body passes", body)
				}
			}
		})
	}
}

func TestStandardWebhooksLibraryAcceptsBothSecretsOfARotation(t *testing.T) {
	old, new := sampleSecrets[0], sampleSecrets[1]
	s := signer.New([]webhook.Secret{
		{Value: new, Role: webhook.SecretPrimary},
		{Value: old, Role: webhook.SecretPrevious, ExpiresAt: time.Now().Add(time.Hour)},
	})
	body := []byte(`{"id":"evt_1"}`)
	h := header(s.Sign(time.Now(), "evt_1", body))
	for _, secret := range []string{old, new} {
		if err := library(t, secret).Verify(body, h); err != nil {
			t.Errorf("secret %q: %v", secret, err)
		}
	}
	if err := library(t, sampleSecrets[2]).Verify(body, h); err == nil {
		t.Error("a third secret passes")
	}
}

// library returns the published verifier as a receiver would set it up.
func library(tb testing.TB, secret string) *standardwebhooks.Webhook {
	tb.Helper()
	var (
		wh  *standardwebhooks.Webhook
		err error
	)
	if isWhsec(secret) {
		wh, err = standardwebhooks.NewWebhook(secret)
	} else {
		wh, err = standardwebhooks.NewWebhookRaw([]byte(secret))
	}
	if err != nil {
		tb.Fatalf("set up the library: %v", err)
	}
	return wh
}
