package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/signer"
)

// The keys are long enough for what they are, and no more than that.
const (
	sealKeyA = "KEY_A=the key that an operator has set first"
	sealKeyB = "KEY_B=the key that came in its place later on"
)

// TestSecretsKeyIsChangedAsTheREADMESays goes from the generated key to one that is
// set, by a reload, and from that to another, by a restart. A webhook's secret
// outlives both, and no key of before opens what is there.
func TestSecretsKeyIsChangedAsTheREADMESays(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	dir := t.TempDir()
	env := []string{sealKeyA, sealKeyB}
	generated := "{file." + filepath.Join(dir, "store", "secrets_key") + "}"
	with := func(keys string) string { return withAPI(t, egress()+keys) }

	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: with(""), Dir: dir, Env: env})
	token := strings.TrimSpace(webhookCommand(t, g, "", "key", "create", "manager").out)
	webhook := createWebhook(t, g, token, receiver.URL())
	arrived := 0
	wantSigned := func(when string) {
		t.Helper()
		arrived++
		publish(t, g, fmt.Sprintf("evt_%d", arrived))
		req := receiver.Await(t, arrived)[arrived-1]
		if err := signer.VerifyRequest(req.Header, req.Body, webhook.Secret); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	wantSigned("with the generated key")

	if err := g.Reload(with("secrets_key {env.KEY_A}")); err == nil || !strings.Contains(err.Error(), "give the new one and then the previous one") {
		t.Errorf("reload with another key alone: %v, want a refusal that says how", err)
	}
	wantSigned("after a reload that was refused")
	if err := g.Reload(with("secrets_key {env.KEY_A} " + generated)); err != nil {
		t.Fatal(err)
	}
	wantSigned("after the reload with another key")
	awaitSealed(t, g, 1)
	g.Stop(t)

	g = gatewaytest.Start(t, gatewaytest.Config{Caddyfile: with("secrets_key {env.KEY_A}"), Dir: dir, Env: env})
	wantSigned("without the previous key")
	g.Stop(t)
	g = gatewaytest.Start(t, gatewaytest.Config{Caddyfile: with("secrets_key {env.KEY_B} {env.KEY_A}"), Dir: dir, Env: env})
	wantSigned("after a restart with a third key")
	awaitSealed(t, g, 2)
	g.Stop(t)

	for _, key := range []string{"", "secrets_key {env.KEY_A}", "secrets_key {env.KEY_A} " + generated} {
		out, err := runUntilItEnds(t, dir, key, env...)
		if err == nil || !strings.Contains(out, "sealed with another key") {
			t.Errorf("start with %q: %v, want a failure that says why:\n%s", key, err, out)
		}
		for _, secret := range []string{webhook.Secret, sealKeyA[len("KEY_A="):], sealKeyB[len("KEY_B="):]} {
			wantNone(t, "what it said to "+key, out, secret)
		}
	}
	g = gatewaytest.Start(t, gatewaytest.Config{Caddyfile: with("secrets_key {env.KEY_B}"), Dir: dir, Env: env})
	wantSigned("after starts that were refused")
}

// awaitSealed waits until everything was sealed anew for the n-th time.
func awaitSealed(t *testing.T, g *gatewaytest.Gateway, n int) {
	t.Helper()
	const line = "all secrets are sealed with the new key"
	for deadline := time.Now().Add(30 * time.Second); strings.Count(g.Log(), line) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %d times that %s", n, line)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
