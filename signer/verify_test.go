package signer_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

func ExampleVerifyRequest() {
	http.HandleFunc("POST /webhook", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 512<<10))
		if err != nil {
			http.Error(w, "cannot read the body", http.StatusBadRequest)
			return
		}
		if err := signer.VerifyRequest(r.Header, body, os.Getenv("WEBHOOK_SECRET")); err != nil {
			log.Print(err)
			http.Error(w, "invalid signature", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func TestVerifyRequestToleratesFiveMinutes(t *testing.T) {
	secret := sampleSecrets[0]
	body := []byte(`{"id":"evt_1"}`)
	s := signer.New([]webhook.Secret{{Value: secret}})
	for _, tc := range []struct {
		age  time.Duration
		want error
	}{
		{0, nil},
		{5 * time.Minute, nil},
		{5*time.Minute + time.Second, signer.ErrTooOld},
		{-5 * time.Minute, nil},
		{-5*time.Minute - time.Second, signer.ErrTooNew},
		{10 * 365 * 24 * time.Hour, signer.ErrTooOld},
	} {
		synctest.Test(t, func(t *testing.T) { // the clock stands still
			h := header(s.Sign(time.Now().Add(-tc.age), "evt_1", body))
			if err := signer.VerifyRequest(h, body, secret); !errors.Is(err, tc.want) {
				t.Errorf("age %v: got %v, want %v", tc.age, err, tc.want)
			}
		})
	}
}

func TestVerifyRequestRefuses(t *testing.T) {
	secret, other := sampleSecrets[0], sampleSecrets[1]
	body := []byte(`{"id":"evt_1"}`)
	now := time.Now()
	signed := func() http.Header {
		return header(signer.New([]webhook.Secret{{Value: secret}}).Sign(now, "evt_1", body))
	}
	with := func(name string, values ...string) http.Header {
		h := signed()
		h[http.CanonicalHeaderKey(name)] = values
		return h
	}
	for _, tc := range []struct {
		name    string
		header  http.Header
		body    string
		secrets []string
		want    error
	}{
		{"an unsigned request", http.Header{}, string(body), []string{secret}, signer.ErrNoSignature},
		{"no id", with("webhook-id"), string(body), []string{secret}, signer.ErrNoSignature},
		{"no timestamp", with("webhook-timestamp"), string(body), []string{secret}, signer.ErrNoSignature},
		{"no signature", with("webhook-signature"), string(body), []string{secret}, signer.ErrNoSignature},
		{"a changed body", signed(), string(body) + " ", []string{secret}, signer.ErrMismatch},
		{"an empty body", signed(), "", []string{secret}, signer.ErrMismatch},
		{"another id", with("webhook-id", "evt_2"), string(body), []string{secret}, signer.ErrMismatch},
		{"another time", with("webhook-timestamp", unix(now.Add(time.Second))), string(body), []string{secret}, signer.ErrMismatch},
		{"the same time in other words", with("webhook-timestamp", "+"+unix(now)), string(body), []string{secret}, signer.ErrMalformed},
		{"a time that is none", with("webhook-timestamp", "now"), string(body), []string{secret}, signer.ErrMalformed},
		{"a time beyond 64 bits", with("webhook-timestamp", "99999999999999999999"), string(body), []string{secret}, signer.ErrMalformed},
		{"an id with a dot", with("webhook-id", "evt.1"), string(body), []string{secret}, signer.ErrMalformed},
		{"two ids", with("webhook-id", "evt_1", "evt_2"), string(body), []string{secret}, signer.ErrMalformed},
		{"two signature headers", with("webhook-signature", "v1,a", "v1,b"), string(body), []string{secret}, signer.ErrMalformed},
		{"another version", with("webhook-signature", "v2"+signed().Get("webhook-signature")[2:]), string(body), []string{secret}, signer.ErrMismatch},
		{"a bare version", with("webhook-signature", "v1,"), string(body), []string{secret}, signer.ErrMismatch},
		{"another secret", signed(), string(body), []string{other}, signer.ErrMismatch},
		{"no secret", signed(), string(body), nil, signer.ErrNoSecret},
		{"an empty secret", signed(), string(body), []string{""}, signer.ErrNoSecret},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := signer.VerifyRequest(tc.header, []byte(tc.body), tc.secrets...); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// A key of zero bytes is what an attacker would sign with, hoping for a
// receiver that was never configured.
func TestVerifyNeverUsesAnEmptyKey(t *testing.T) {
	body := []byte("{}")
	forged := signer.Signatures{Tengine: tengine("", body)}
	for _, secrets := range [][]string{nil, {""}, {"", sampleSecrets[0]}, {"whsec_"}} {
		if err := signer.VerifyTengine(forged, body, secrets...); err == nil {
			t.Errorf("secrets %q: a signature with an empty key passes", secrets)
		}
	}
	forged = signer.Signatures{ID: "evt_1", Timestamp: "1"}
	sig, err := library(t, "whsec_").Sign("evt_1", time.Unix(1, 0), body)
	if err != nil {
		t.Fatal(err)
	}
	forged.Standard = sig
	for _, secrets := range [][]string{nil, {""}, {"", sampleSecrets[0]}, {"whsec_"}} {
		if err := signer.VerifyStandard(time.Unix(1, 0), forged, body, secrets...); err == nil {
			t.Errorf("secrets %q: a signature with an empty key passes", secrets)
		}
	}
}

func TestReceiversOfOneSecretVerifyThroughoutARotation(t *testing.T) {
	old, new := sampleSecrets[0], sampleSecrets[1]
	body := []byte(`{"id":"evt_1"}`)
	later := time.Now().Add(time.Hour)
	for name, secrets := range map[string][]webhook.Secret{
		"previous": {{Value: new, Role: webhook.SecretPrimary}, {Value: old, Role: webhook.SecretPrevious, ExpiresAt: later}},
		"next":     {{Value: old, Role: webhook.SecretPrimary, ExpiresAt: later}, {Value: new, Role: webhook.SecretNext}},
	} {
		got := signer.New(secrets).Sign(time.Now(), "evt_1", body)
		for _, knows := range [][]string{{old}, {new}, {old, new}, {"", new}} {
			if err := signer.VerifyRequest(header(got), body, knows...); err != nil {
				t.Errorf("%s: VerifyRequest with %q: %v", name, knows, err)
			}
			if err := signer.VerifyTengine(got, body, knows...); err != nil {
				t.Errorf("%s: VerifyTengine with %q: %v", name, knows, err)
			}
		}
		if err := signer.VerifyTengine(got, body, sampleSecrets[2]); !errors.Is(err, signer.ErrMismatch) {
			t.Errorf("%s: a third secret: got %v, want %v", name, err, signer.ErrMismatch)
		}
	}
}

func TestSignThenVerifyHoldsAndAnyFlippedBitFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(16, 256, -1).Draw(t, "secret")
		id := rapid.StringMatching(`[A-Za-z0-9_:-]{1,128}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		now := time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "now"), 0)

		good := signer.New([]webhook.Secret{{Value: secret}}).Sign(now, id, body)
		if err := signer.VerifyStandard(now, good, body, secret); err != nil {
			t.Fatalf("standard: %v", err)
		}
		if err := signer.VerifyTengine(good, body, secret); err != nil {
			t.Fatalf("tengine: %v", err)
		}

		flip := func(text string) string {
			if text == "" {
				t.Skip("nothing to flip")
			}
			raw := []byte(text)
			bit := rapid.IntRange(0, 8*len(raw)-1).Draw(t, "bit")
			raw[bit/8] ^= 1 << (bit % 8)
			return string(raw)
		}
		bad, badBody := good, body
		switch part := rapid.SampledFrom([]string{"body", "secret", "tengine", "id", "timestamp", "standard"}).Draw(t, "part"); part {
		case "body":
			badBody = []byte(flip(string(body)))
		case "secret":
			secret = flip(secret)
		case "tengine":
			bad.Tengine = flip(bad.Tengine)
			if err := signer.VerifyTengine(bad, body, secret); !errors.Is(err, signer.ErrMismatch) {
				t.Fatalf("tengine: got %v, want %v", err, signer.ErrMismatch)
			}
			return
		case "id":
			bad.ID = flip(bad.ID)
		case "timestamp":
			bad.Timestamp = flip(bad.Timestamp)
		case "standard":
			bad.Standard = flip(bad.Standard)
		}
		if err := signer.VerifyStandard(now, bad, badBody, secret); err == nil {
			t.Fatal("standard: passes")
		}
		if bad == good {
			if err := signer.VerifyTengine(bad, badBody, secret); !errors.Is(err, signer.ErrMismatch) {
				t.Fatalf("tengine: got %v, want %v", err, signer.ErrMismatch)
			}
		}
	})
}

// FuzzVerify feeds any headers to verification. What it accepts, the published
// library accepts too, and the x-tengine scheme accepts one text only.
func FuzzVerify(f *testing.F) {
	const secret = "It's a Secret to Everybody"
	f.Add("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "evt_1", "1704067200", "v1,AAAA v1,BBBB", []byte("Hello, World!"))
	good := signer.New([]webhook.Secret{{Value: secret}}).Sign(time.Unix(1704067200, 0), "evt_1", []byte("{}"))
	f.Add(good.Tengine, good.ID, good.Timestamp, good.Standard, []byte("{}"))
	f.Add("", "a.b", "-1", ",, v1, v1a,x  v1,", []byte(""))
	f.Fuzz(func(t *testing.T, tengineSig, id, timestamp, standard string, body []byte) {
		h := http.Header{}
		for name, value := range map[string]string{
			signer.HeaderTengine: tengineSig, signer.HeaderID: id,
			signer.HeaderTimestamp: timestamp, signer.HeaderStandard: standard,
		} {
			h.Set(name, value)
		}
		s, err := signer.FromHeader(h)
		if err != nil {
			t.Fatalf("each header is there once: %v", err)
		}
		now := time.Unix(1704067200, 0)
		if signer.VerifyStandard(now, s, body, secret) == nil {
			if err := library(t, secret).VerifyIgnoringTimestamp(body, h); err != nil {
				t.Errorf("accepted what the library refuses: %v", err)
			}
		}
		if accepted := signer.VerifyTengine(s, body, secret) == nil; accepted != (tengineSig == tengine(secret, body)) {
			t.Errorf("%q: accepted is %v", tengineSig, accepted)
		}
	})
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func ExampleSigner_Sign() {
	s := signer.New([]webhook.Secret{{Value: "It's a Secret to Everybody", Role: webhook.SecretPrimary}})
	for name, value := range s.Sign(time.Unix(1704067200, 0), "evt_1", []byte("Hello, World!")).Headers() {
		fmt.Println(name, value)
	}
	// Output:
	// x-tengine-signature sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17
	// webhook-id evt_1
	// webhook-timestamp 1704067200
	// webhook-signature v1,lWARyMZosdR1/7bpOxjQe/4pI1wrpFkEnC4DHP14C04=
}
