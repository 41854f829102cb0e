package caddymodule

import (
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// TestVerifySaysWhyASignatureIsWrong changes one thing after another of a good
// delivery.
func TestVerifySaysWhyASignatureIsWrong(t *testing.T) {
	const body = `{"id":"evt_1","data":{"n":1}}`
	good := signer.New([]webhook.Secret{{Value: listenSecret}}).Sign(listenTime, "evt_1", []byte(body))
	for name, tc := range map[string]struct {
		change  func(*verification)
		tengine string // how the line of each scheme goes on
		other   string
		valid   bool
	}{
		"as it was sent":  {func(*verification) {}, "valid", "valid", true},
		"one of two good": {func(v *verification) { v.secrets = []string{"another-secret-altogether", listenSecret} }, "valid", "valid", true},
		"only one scheme": {func(v *verification) { v.given.Tengine = "" }, "not given", "valid", true},
		"no signature":    {func(v *verification) { v.given = signer.Signatures{} }, "not given", "not given", false},
		"no timestamp":    {func(v *verification) { v.given.Timestamp = "" }, "valid", "WRONG: missing header: webhook-timestamp", false},
		"another secret":  {func(v *verification) { v.secrets = []string{"another-secret-altogether"} }, "WRONG: another secret", "WRONG: another secret", false},
		"an hour later": {
			func(v *verification) { v.now = listenTime.Add(time.Hour) },
			"valid", "WRONG: timestamp too old: 3600 s. To verify a recorded request give", false,
		},
		"an hour early": {
			func(v *verification) { v.now = listenTime.Add(-time.Hour) },
			"valid", "WRONG: timestamp in the future: 3600 s. Set the clock", false,
		},
		"a line break at the end": {
			func(v *verification) { v.body = []byte(body + "\n") },
			"WRONG: the body has a line break", "WRONG: the body has a line break", false,
		},
		"printed again": {
			func(v *verification) { v.body = []byte("{\n  \"id\": \"evt_1\",\n  \"data\": {\"n\": 1}\n}") },
			"WRONG: the body was parsed", "WRONG: the body was parsed", false,
		},
		"another body": {
			func(v *verification) { v.body = []byte(`{"id":"evt_1","data":{"n":2}}`) },
			"WRONG: another secret, or not the body", "WRONG: another secret, or not the body", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := verification{now: listenTime, secrets: []string{listenSecret}, given: good, body: []byte(body)}
			tc.change(&v)
			text, valid := v.judge()
			tengine, other, _ := strings.Cut(text, "\n")
			if !strings.HasPrefix(tengine, "x-tengine-signature: "+tc.tengine) ||
				!strings.HasPrefix(other, "webhook-signature: "+tc.other) || valid != tc.valid {
				t.Errorf("%t:\n%s", valid, text)
			}
			if strings.Contains(text, listenSecret) {
				t.Error("the text tells the secret")
			}
		})
	}
}
