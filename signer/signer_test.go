package signer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// sampleSecrets are valid secrets of each form.
var sampleSecrets = []string{
	"It's a Secret to Everybody",
	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	"Geheimnis für Zürich 🦊, mit Umlauten",
	strings.Repeat("k", 256), // longer than a SHA-256 block
	"whsec_" + strings.Repeat("QUJD", 40),
}

func isWhsec(secret string) bool { return strings.HasPrefix(secret, "whsec_") }

// header puts s into an http.Header, as a sender does.
func header(s signer.Signatures) http.Header {
	h := http.Header{}
	for name, value := range s.Headers() {
		h.Set(name, value)
	}
	return h
}

func tengine(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

func TestRotation(t *testing.T) {
	const a, b = "the secret that was", "the secret that comes"
	overlapEnd := time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)
	body := []byte(`{"id":"evt_1"}`)
	signsA, signsB := tengine(a, body), tengine(b, body)

	type want struct {
		tengine, previous, next string
		standard                []string // secrets, in the header's order
	}
	alone := func(secret, sig string) want { return want{tengine: sig, standard: []string{secret}} }

	for _, tc := range []struct {
		name           string
		secrets        []webhook.Secret
		during, beyond want
	}{
		{
			name:    "one secret",
			secrets: []webhook.Secret{{Value: a, Role: webhook.SecretPrimary}},
			during:  alone(a, signsA),
			beyond:  alone(a, signsA),
		},
		{
			name: "new is primary, old is previous",
			secrets: []webhook.Secret{
				{Value: b, Role: webhook.SecretPrimary},
				{Value: a, Role: webhook.SecretPrevious, ExpiresAt: overlapEnd},
			},
			during: want{tengine: signsB, previous: signsA, standard: []string{b, a}},
			beyond: alone(b, signsB),
		},
		{
			name: "old stays primary, new is next: the primary's end ends the overlap",
			secrets: []webhook.Secret{
				{Value: a, Role: webhook.SecretPrimary, ExpiresAt: overlapEnd},
				{Value: b, Role: webhook.SecretNext},
			},
			during: want{tengine: signsA, next: signsB, standard: []string{a, b}},
			beyond: alone(b, signsB),
		},
		{
			name: "old stays primary, new is next: the next one's end ends the overlap",
			secrets: []webhook.Secret{
				{Value: a, Role: webhook.SecretPrimary},
				{Value: b, Role: webhook.SecretNext, ExpiresAt: overlapEnd},
			},
			during: want{tengine: signsA, next: signsB, standard: []string{a, b}},
			beyond: alone(b, signsB),
		},
		{
			name: "a previous secret without an end, as in a Caddyfile",
			secrets: []webhook.Secret{
				{Value: b, Role: webhook.SecretPrimary},
				{Value: a, Role: webhook.SecretPrevious},
			},
			during: want{tengine: signsB, previous: signsA, standard: []string{b, a}},
			beyond: want{tengine: signsB, previous: signsA, standard: []string{b, a}},
		},
		{
			name:    "a primary without a successor does not end",
			secrets: []webhook.Secret{{Value: a, Role: webhook.SecretPrimary, ExpiresAt: overlapEnd}},
			during:  alone(a, signsA),
			beyond:  alone(a, signsA),
		},
		{
			name:    "without roles the first is primary, the second previous",
			secrets: []webhook.Secret{{Value: b}, {Value: a, ExpiresAt: overlapEnd}},
			during:  want{tengine: signsB, previous: signsA, standard: []string{b, a}},
			beyond:  alone(b, signsB),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := signer.New(tc.secrets)
			for _, moment := range []struct {
				name string
				now  time.Time
				want want
			}{
				{"just before the end", overlapEnd.Add(-time.Nanosecond), tc.during},
				{"at the end", overlapEnd, tc.beyond},
				{"a year later", overlapEnd.AddDate(1, 0, 0), tc.beyond},
			} {
				got := s.Sign(moment.now, "evt_1", body)
				var standard []string
				for _, secret := range moment.want.standard {
					sig, err := library(t, secret).Sign("evt_1", moment.now, body)
					if err != nil {
						t.Fatal(err)
					}
					standard = append(standard, sig)
				}
				want := signer.Signatures{
					Tengine:         moment.want.tengine,
					TenginePrevious: moment.want.previous,
					TengineNext:     moment.want.next,
					ID:              "evt_1",
					Timestamp:       got.Timestamp,
					Standard:        strings.Join(standard, " "),
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", moment.name, diff)
				}
			}
		})
	}
}

func TestWithoutSecretsNothingIsSigned(t *testing.T) {
	want := map[string]string{"webhook-id": "evt_1", "webhook-timestamp": "1704067200"}
	for name, s := range map[string]*signer.Signer{
		"zero":         {},
		"no secrets":   signer.New(nil),
		"empty secret": signer.New([]webhook.Secret{{Role: webhook.SecretPrimary}}),
		"expired previous only": signer.New([]webhook.Secret{
			{Value: sampleSecrets[0], Role: webhook.SecretPrevious, ExpiresAt: time.Unix(1, 0)},
		}),
	} {
		got := maps.Collect(s.Sign(time.Unix(1704067200, 0), "evt_1", []byte("{}")).Headers())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSignAgreesWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(1, 300, -1).Draw(t, "secret")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		got := signer.New([]webhook.Secret{{Value: secret}}).Sign(time.Unix(1, 0), "evt_1", body).Tengine
		if want := tengine(secret, body); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestSignIsSafeForConcurrentUse(t *testing.T) {
	s := signer.New([]webhook.Secret{
		{Value: sampleSecrets[0], Role: webhook.SecretPrimary},
		{Value: sampleSecrets[1], Role: webhook.SecretPrevious},
	})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			body := []byte(strings.Repeat("x", 100*worker))
			want := s.Sign(time.Unix(1, 0), "evt_1", body)
			for range 200 {
				if got := s.Sign(time.Unix(1, 0), "evt_1", body); got != want {
					t.Errorf("got %v, want %v", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
