package integration_test

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/signer"
)

// Canaries are found by a search wherever they leak to.
const (
	canaryKey      = "canary-ingest-key-7f3a91"
	canarySecret   = "canary-webhook-secret-7f3a92"
	canaryPrevious = "canary-previous-secret-7f3a93"
	canaryToken    = "canary-header-token-7f3a94"
	canaryPassword = "canary-proxy-password-7f3a95"
	canaryPayload  = "canary-payload-member-7f3a96"
	canaryLiteral  = "canary-literal-7f3a97" // in configurations that are refused
)

// canarySecrets belong nowhere, also not into the store.
var canarySecrets = []string{canaryKey, canarySecret, canaryPrevious, canaryToken, canaryPassword, canaryLiteral}

// TestNothingLeaksSecretsOrPayloads puts canaries wherever secrets and payloads
// come in, lets everything happen that can happen to deliveries, requests and
// configurations, and looks for them in everything that comes out.
func TestNothingLeaksSecretsOrPayloads(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(canarySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	receiver := gatewaytest.NewReceiver(t)
	receiver.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/failing": 500, "/gone": 410, "/moved": 302}[r.URL.Path]
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(max(status, http.StatusOK))
	}))
	proxy := newConnectProxy(t, "HTTP/1.1 407 "+canaryPassword+"\r\nContent-Length: 0\r\n\r\n")
	dir := t.TempDir()
	gateway := gatewaytest.Start(t, gatewaytest.Config{
		Caddyfile: canaryCaddyfile(receiver.URL(), proxy.address, secretFile),
		Dir:       dir,
		Env:       []string{"CANARY_KEY=" + canaryKey, "CANARY_PREVIOUS=" + canaryPrevious, "CANARY_TOKEN=" + canaryToken, "CANARY_PASSWORD=" + canaryPassword},
	})

	said := canaryRequests(t, gateway)
	awaitNothingPending(t, gateway)
	for _, req := range receiver.Requests() {
		if req.Path != "/good" {
			continue
		}
		if err := signer.VerifyRequest(req.Header, req.Body, canarySecret); err != nil {
			t.Errorf("the secret of the file does not sign: %v", err)
		}
		if got := req.Header.Get("Authorization"); got != "Bearer "+canaryToken || !strings.Contains(string(req.Body), canaryPayload) {
			t.Errorf("arrived with Authorization %q, body %s", got, req.Body)
		}
	}
	for _, outcome := range []string{"success", "http_5xx", "http_4xx", "http_3xx", "reset", "blocked_address"} {
		if attemptsTotal(t, gateway, outcome) == 0 {
			t.Errorf("no attempt ended with %s: the test does not test it", outcome)
		}
	}
	if status(t, gateway).Deliveries["filter_error"] == 0 {
		t.Error("no filter failed: the test does not test it")
	}

	said["refused configurations"] = canaryReloads(t, gateway)
	for _, path := range []string{"/config/", "/metrics", "/webhook_gateway/status"} {
		said[path] = adminAnswer(t, gateway, path)
	}
	wantNoneOnDisk(t, dir)
	if text := slices.Collect(maps.Values(contents(t, filepath.Join(dir, "store")))); !strings.Contains(strings.Join(text, ""), canaryPayload) {
		t.Error("the payload is not found in the store: the search does not work")
	}
	gateway.Stop(t)
	gateway.Restart(t)
	gateway.Stop(t)
	wantNoneOnDisk(t, dir)

	said["the log"] = gateway.Log()
	for what, text := range said {
		wantNone(t, what, text, append(canarySecrets, canaryPayload)...)
	}
}

// wantNoneOnDisk looks for canaries in all files; payloads may be in the store.
func wantNoneOnDisk(t *testing.T, dir string) {
	t.Helper()
	for path, content := range contents(t, dir) {
		wantNone(t, path, content, canarySecrets...)
		if !strings.HasPrefix(path, filepath.Join(dir, "store")) {
			wantNone(t, path, content, canaryPayload)
		}
	}
}

// canaryCaddyfile logs all it can: at level DEBUG, with an access log.
func canaryCaddyfile(receiver, proxy, secretFile string) string {
	webhook := func(name, url string, lines ...string) string {
		return "webhook " + name + " {\nproject *\nurl " + url + "\nevents *\nheader Authorization \"Bearer {env.CANARY_TOKEN}\"\n" +
			"secret {file." + secretFile + "} {env.CANARY_PREVIOUS}\n" + strings.Join(lines, "\n") + "\n}\n"
	}
	config := gatewaytest.Caddyfile("retry 1s\n" +
		egress("advertise 192.0.2.1", "proxy http://user:{env.CANARY_PASSWORD}@"+proxy) +
		webhook("good", receiver+"good") +
		webhook("failing", receiver+"failing") +
		webhook("gone", receiver+"gone") +
		webhook("moved", receiver+"moved") +
		webhook("broken", receiver+"broken") +
		webhook("blocked", "http://localhost:{$SITE_PORT}/") +
		webhook("filtered", receiver+"filtered", "filter `data.name > 3`"))
	config = strings.Replace(config, gatewaytest.IngestKey, "{env.CANARY_KEY}", 1)
	config = strings.Replace(config, "grace_period 3s", "debug\n\tgrace_period 3s", 1)
	return strings.Replace(config, "bind 127.0.0.1", "bind 127.0.0.1\n\tlog", 1)
}

// canaryRequests publishes events and sends requests that are refused, and
// returns what the gateway said to each.
func canaryRequests(t *testing.T, g *gatewaytest.Gateway) map[string]string {
	t.Helper()
	const key = "Bearer " + canaryKey
	said := make(map[string]string)
	for _, tt := range []struct {
		name, authorization, body string
		status                    int
	}{
		{"the answer to an event", key, `{"id":"e1","type":"project.created","data":{"id":"p","name":"` + canaryPayload + `"}}`, 202},
		{"the answer to its repeat", key, `{"id":"e1","type":"project.created","data":{"id":"p","name":"` + canaryPayload + `"}}`, 202},
		{"the answer to a conflict", key, `{"id":"e1","type":"project.created","data":{"id":"p","name":"other ` + canaryPayload + `"}}`, 409},
		{"the answer to a batch", key, `[{"id":"e2","type":"project.created","data":{"id":"p","name":"` + canaryPayload + `"}},{"type":"` + canaryPayload + `"}]`, 207},
		{"the answer to another key", key + "x", `{}`, 401},
		{"the answer to another scheme", "Basic " + canaryKey, `{}`, 401},
		{"the answer to an unknown type", key, `{"type":"` + canaryPayload + `","data":{"id":"p"}}`, 422},
		{"the answer to wrong values", key, `{"id":"` + canaryPayload + `?","type":"project.created","created_at":"` + canaryPayload + `","api_version":"` + canaryPayload + ` ","project_id":"` + canaryPayload + ` ","data":"` + canaryPayload + `"}`, 422},
		{"the answer to broken JSON", key, `{"type":"project.created","data":{"id":"` + canaryPayload + `" "x"}}`, 400},
		{"the answer to a lone surrogate", key, `{"type":"project.created","data":{"id":"p","n":"` + canaryPayload + `\ud800"}}`, 422},
	} {
		answer := sendAs(t, g, "application/json", tt.body, "Authorization", tt.authorization)
		if answer.Status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, answer.Status, answer.Body, tt.status)
		}
		said[tt.name] = answer.Body
	}
	return said
}

// canaryReloads tries configurations that are wrong near a secret and returns
// what Caddy said.
func canaryReloads(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	webhook := func(line string) string {
		return egress() + "webhook w {\nproject *\nurl http://127.0.0.1:9/\nevents *\n" + line + "\n}"
	}
	var said strings.Builder
	for name, settings := range map[string]string{
		"unknown subdirective":  webhook("secret " + canaryLiteral + "\nno_such_thing"),
		"three secrets":         webhook("secret " + canaryLiteral + " " + canaryLiteral + "2 " + canaryLiteral + "3"),
		"two secret lines":      webhook("secret " + canaryLiteral + "\nsecret " + canaryLiteral),
		"a block after":         webhook("secret " + canaryLiteral + " {\nx\n}"),
		"too long secret":       webhook("secret " + strings.Repeat(canaryLiteral, 20)),
		"same secret twice":     webhook("secret " + canaryLiteral + " " + canaryLiteral + "\nurl http://127.0.0.1:9/"),
		"unknown placeholder":   webhook("secret " + canaryLiteral + "{env.CANARY_MISSING}"),
		"missing file":          webhook("secret " + canaryLiteral + "{file./no/such/file}"),
		"header without name":   webhook(`header "" "` + canaryLiteral + `"`),
		"header with newline":   webhook("header Authorization \"Bearer " + canaryLiteral + "\n\""),
		"header of three words": webhook("header Authorization Bearer " + canaryLiteral),
		"reserved header":       webhook("header Webhook-Id " + canaryLiteral),
		"short key":             "api_key other " + canaryLiteral[:18],
		"same key twice":        "api_key a " + canaryLiteral + "\napi_key b " + canaryLiteral,
		"key of two words":      "api_key a " + canaryLiteral + " " + canaryLiteral,
		"key with a bad scope":  "api_key a " + canaryLiteral + " {\nscope nothing\n}",
		"proxy without host":    egress("advertise 192.0.2.1", "proxy http://user:"+canaryLiteral+"@"),
		"proxy with a bad port": egress("advertise 192.0.2.1", "proxy http://user:"+canaryLiteral+"@proxy:99999"),
		"proxy with a bad URL":  egress("advertise 192.0.2.1", "proxy http://user:"+canaryLiteral+"%zz@proxy:3128"),
		"proxy of two words":    egress("advertise 192.0.2.1", "proxy http://user:"+canaryLiteral+" @proxy:3128"),
		"proxy and source":      egress("source 127.0.0.1", "proxy http://user:"+canaryLiteral+"@proxy:3128"),
		"secrets key":           "secrets_key " + canaryLiteral + " " + canaryLiteral,
		"user info in a URL":    egress() + "webhook w {\nproject *\nurl http://user:" + canaryLiteral + "@127.0.0.1:9/\nevents *\n}",
	} {
		err := g.Reload(gatewaytest.Caddyfile(settings))
		if err == nil {
			t.Errorf("%s: the configuration was taken", name)
			continue
		}
		if strings.Contains(err.Error(), canaryLiteral[:18]) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
		said.WriteString(err.Error() + "\n")
	}
	return said.String()
}

// wantNone looks for canaries in a text, as they are and encoded.
func wantNone(t *testing.T, what, text string, canaries ...string) {
	t.Helper()
	for _, canary := range canaries {
		for encoding, form := range map[string]string{
			"as it is":                canary,
			"in base64":               base64.RawStdEncoding.EncodeToString([]byte(canary)),
			"hexadecimal":             hex.EncodeToString([]byte(canary)),
			"as a password in base64": base64.RawStdEncoding.EncodeToString([]byte("user:" + canary)),
		} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s has %s, %s: …%s…", what, canary, encoding, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

func adminAnswer(t *testing.T, g *gatewaytest.Gateway, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.AdminURL(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := g.Do(req)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("%s: %d %s (%v)", path, answer.Status, answer.Body, err)
	}
	return answer.Body
}

// contents returns all files below a directory, by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range files(t, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the gateway has removed it
		}
		all[path] = string(text)
	}
	return all
}
