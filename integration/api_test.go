package integration_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/integration/node"
)

// TestManagementGuideWorksAsWritten runs the configuration and every call of
// docs/management-api.md. Only ports are moved.
func TestManagementGuideWorksAsWritten(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		node.SkipOrFail(t, "curl is not installed")
	}
	receiver := gatewaytest.NewReceiver(t)
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: managementGuide(t, hostApplication(t).Listener.Addr().String())})

	script := "set -eu\n" + strings.Join(guideBlocks(t, "sh"), "\n")
	script = strings.ReplaceAll(script, "http://127.0.0.1:8080", g.URL(""))
	script = strings.ReplaceAll(script, "http://127.0.0.1:3000/webhook", receiver.URL()+"webhook")
	out := run(t, "sh", "-c", script)
	for _, want := range []string{
		`"outcome":"success"`, `"filters":{}`, `"retry":["10s","1m","2d"]`, `"description":"orders"`, `"event_id":"evt_guide"`,
		`"result":"`, `"secret":"whsec_`, `"match":true`, `"state":"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no answer has %s:\n%s", want, out)
		}
	}
	tests := 0
	for _, r := range receiver.Requests() {
		if r.Header.Get("X-Custom-Header") != "custom-value" || r.Header.Get("X-Tengine-Signature") == "" {
			t.Errorf("a delivery without its headers: %v", r.Header)
		}
		if r.Header.Get("X-Tengine-Test") == "true" {
			tests++
		}
	}
	if tests != 2 {
		t.Errorf("%d test events arrived, want 2", tests)
	}

	// The error that it shows is the one that comes.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL("/api/v1/projects/proj_123/webhooks"),
		strings.NewReader(`{"url":"http://127.0.0.1:3000/webhook","events":["project.creatd"],"Secret":"your-webhook-secret"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer a-management-key-for-trying-things-out")
	req.Header.Set("Content-Type", "application/json")
	answer, err := g.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`\n +`).ReplaceAllString(guideBlocks(t, "json")[0], "")
	if diff := cmp.Diff(shown, strings.TrimSpace(answer.Body)); diff != "" {
		t.Errorf("the error (-guide +got)\n%s", diff)
	}

	// What is not the gateway's is the application's.
	for _, path := range []string{"/", "/api/v1/users", "/api/v1/webhooks", "/api/v1/projects/proj_123"} {
		answer := askAs(t, g, http.MethodGet, path, "")
		if want := "the application has " + path; answer.Body != want {
			t.Errorf("%s: %d %q, want %q", path, answer.Status, answer.Body, want)
		}
	}
}

// managementGuide returns the configuration of the guide before the
// application at an address.
func managementGuide(t *testing.T, app string) string {
	t.Helper()
	c := guideBlocks(t, "caddyfile")[0]
	c = moved(t, c, "{\n\twebhook_gateway {", "{\n\tadmin {$ADMIN}\n\tgrace_period 3s\n\twebhook_gateway {")
	c = moved(t, c, "dir guide-store", "dir {$STORE}")
	c = moved(t, c, "127.0.0.1:9000", app)
	return moved(t, c, "\n:8080 {", "\n:{$SITE_PORT} {")
}

// guideBlocks returns the blocks of code of one language of the guide.
func guideBlocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "management-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(text), "\n```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		blocks = append(blocks, block)
	}
	return blocks
}
