// Package verify_test runs the receivers that docs/receivers.md shows, as real
// processes, against requests signed as the gateway signs them.
package verify_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tengineai/webhook-gateway/integration/node"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receivers lists every file of this directory that is a receiver, with the
// command that runs it.
var receivers = map[string]func(t *testing.T) *exec.Cmd{
	"node-express-raw.mjs":      nodeCommand("node-express-raw.mjs"),
	"node-express-json.mjs":     nodeCommand("node-express-json.mjs"),
	"node-standardwebhooks.mjs": nodeCommand("node-standardwebhooks.mjs"),
	"python_receiver.py":        pythonCommand,
	"receiver-go/main.go":       goCommand,
}

const (
	secretA = "Geheimnis für Zürich 🦊, mit Umlauten"
	secretB = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func TestReceivers(t *testing.T) {
	t.Parallel()
	for name, command := range receivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, secret := range []string{secretA, secretB} {
				p := start(t, command, secret)
				takesEventsOnceAndNothingForged(t, p, secret)
				verifiesThroughoutARotation(t, p)
			}
		})
	}
}

// takesEventsOnceAndNothingForged sends signed and forged requests to p, which
// knows secret.
func takesEventsOnceAndNothingForged(t *testing.T, p *node.Program, secret string) {
	t.Helper()
	sign := signer.New([]webhook.Secret{{Value: secret, Role: webhook.SecretPrimary}})
	now := time.Now()

	first := eventBody("evt_1", "Zürich \u2028 🦊")
	second := eventBody("evt_2", strings.Repeat("x", 255<<10))
	forged := hmac.New(sha256.New, nil)
	forged.Write(first)

	for _, tc := range []struct {
		name   string
		body   []byte
		signed signer.Signatures
		want   int
	}{
		{"a delivery", first, sign.Sign(now, "evt_1", first), 204},
		{"the same one again", first, sign.Sign(now, "evt_1", first), 204},
		{"an unsigned request", first, signer.Signatures{}, 401},
		{"a changed body", bytes.Replace(first, []byte("evt_1"), []byte("evt_3"), 1), sign.Sign(now, "evt_3", first), 401},
		{"no body", nil, signer.Signatures{}, 401},
		{"another secret", first, signer.New([]webhook.Secret{{Value: "a secret of somebody else"}}).Sign(now, "evt_1", first), 401},
		{"an empty key", first, signer.Signatures{Tengine: "sha256=" + hex.EncodeToString(forged.Sum(nil))}, 401},
		{"a signature of another length", first, signer.Signatures{Tengine: "sha256=75"}, 401},
		{"an event of 255 KiB", second, sign.Sign(now, "evt_2", second), 204},
	} {
		got := p.Post(t, "/webhook", tc.body, tc.signed.Headers())
		if got != tc.want {
			t.Errorf("%s: status %d, want %d", tc.name, got, tc.want)
		}
	}

	// Each event was worked on once, and nothing else was.
	for _, want := range []string{"handled evt_1 project.created", "handled evt_2 project.created"} {
		if got := p.Line(t); got != want {
			t.Errorf("the receiver printed %q, want %q", got, want)
		}
	}
}

// verifiesThroughoutARotation sends deliveries of a rotation from secretA to
// secretB. Whichever p knows, it takes them: a receiver may change to the new
// secret at any moment of the overlap.
func verifiesThroughoutARotation(t *testing.T, p *node.Program) {
	t.Helper()
	later := time.Now().Add(time.Hour)
	for name, secrets := range map[string][]webhook.Secret{
		"primary new":      {{Value: secretB, Role: webhook.SecretPrimary}, {Value: secretA, Role: webhook.SecretPrevious, ExpiresAt: later}},
		"primary previous": {{Value: secretA, Role: webhook.SecretPrimary, ExpiresAt: later}, {Value: secretB, Role: webhook.SecretNext}},
	} {
		body := eventBody("evt_rotation", name)
		if got := p.Post(t, "/webhook", body, signer.New(secrets).Sign(time.Now(), "evt_rotation", body).Headers()); got != 204 {
			t.Errorf("%s: status %d, want 204", name, got)
		}
	}
}

func TestReceiversDoNotStartWithoutASecret(t *testing.T) {
	t.Parallel()
	for name, command := range receivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t)
			cmd.Env = append(os.Environ(), "PORT=0", "WEBHOOK_SECRET=")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "WEBHOOK_SECRET is not set") {
				t.Errorf("ended with %v and printed %q", err, out)
			}
		})
	}
}

func start(t *testing.T, command func(*testing.T) *exec.Cmd, secret string) *node.Program {
	t.Helper()
	cmd := command(t)
	cmd.Env = append(os.Environ(), "PORT=0", "WEBHOOK_SECRET="+secret)
	return node.StartProgram(t, cmd)
}

// nodeCommand runs a copy of file beside a link to the installed packages: that
// is where Node looks for them.
func nodeCommand(file string) func(*testing.T) *exec.Cmd {
	return func(t *testing.T) *exec.Cmd {
		t.Helper()
		program, dir := node.Find(t)
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there := t.TempDir()
		if err := os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(there, "node_modules")); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(there, file)
		if err := os.WriteFile(copied, source, 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(program, copied)
	}
}

func pythonCommand(t *testing.T) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		node.SkipOrFail(t, "python3 is not installed")
	}
	return exec.Command(program, "python_receiver.py")
}

func goCommand(t *testing.T) *exec.Cmd {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "receiver")
	if out, err := exec.Command("go", "build", "-o", binary, "receiver-go/main.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exec.Command(binary)
}

func eventBody(id, name string) []byte {
	return []byte(`{"id":"` + id + `","type":"project.created","data":{"id":"proj_123","name":"` + name +
		`"},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`)
}
