package signer_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/signer"
)

func TestGeneratedSecretsAreValidDifferentAndLong(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		secret := signer.Generate()
		if err := signer.ValidSecret(secret); err != nil {
			t.Fatalf("%s: %v", secret, err)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || !isWhsec(secret) {
			t.Fatalf("%s is not whsec_ and base64: %v", secret, err)
		}
		if len(key)*8 < 192 {
			t.Fatalf("%d random bits, want at least 192", len(key)*8)
		}
		if seen[secret] {
			t.Fatalf("%s came twice", secret)
		}
		seen[secret] = true
	}
}

func TestValidSecret(t *testing.T) {
	keyOf := func(n int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n)))
	}
	for name, tc := range map[string]struct {
		secret string
		want   string // part of the error, "" for none
	}{
		"empty":                      {"", "0 characters"},
		"15 characters":              {strings.Repeat("a", 15), "15 characters"},
		"16 characters":              {strings.Repeat("a", 16), ""},
		"256 characters":             {strings.Repeat("a", 256), ""},
		"257 characters":             {strings.Repeat("a", 257), "257 characters"},
		"16 characters of two bytes": {strings.Repeat("ü", 16), ""},
		"15 characters of two bytes": {strings.Repeat("ü", 15), "15 characters"},
		"256 characters of 4 bytes":  {strings.Repeat("🦊", 256), ""},
		"spaces":                     {" keeps its spaces ", ""},
		"a line break at the end":    {"a secret from a file\n", "control character"},
		"a tab":                      {"a secret with\ta tab", "control character"},
		"NUL":                        {"a secret with \x00 NUL", "control character"},
		"DEL":                        {"a secret with \x7f DEL", "control character"},
		"C1":                         {"a secret with \u0085 NEL", "control character"},
		"invalid UTF-8":              {"a secret that is \xff", "UTF-8"},
		"whsec_ and 23 bytes":        {keyOf(23), "23 bytes"},
		"whsec_ and 24 bytes":        {keyOf(24), ""},
		"whsec_ and 64 bytes":        {keyOf(64), ""},
		"whsec_ without padding":     {strings.TrimRight(keyOf(25), "="), "base64"},
		"whsec_ of the URL alphabet": {"whsec_" + strings.Repeat("-_-_", 8), "base64"},
		"whsec_ and words":           {"whsec_this is no base64 at all", "base64"},
		"WHSEC_ is another prefix":   {"WHSEC_this is no base64 at all", ""},
		"whsec_ later in the secret": {"my whsec_ is no prefix", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := signer.ValidSecret(tc.secret)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error about %q", err, tc.want)
			case err != nil && len(tc.secret) > 5 && strings.Contains(err.Error(), tc.secret):
				t.Errorf("the error %q tells the secret", err)
			}
		})
	}
}

func TestHintShowsFourCharactersAtMost(t *testing.T) {
	for secret, want := range map[string]string{
		"my-very-long-secret": "…cret",
		"Zürich-Fuchs-🦊🦊🦊🦊":   "…🦊🦊🦊🦊",
		"twelve chars":        "…ars",
		"abc":                 "…",
		"":                    "…",
	} {
		if got := signer.Hint(secret); got != want {
			t.Errorf("Hint(%q) = %q, want %q", secret, got, want)
		}
	}
}
