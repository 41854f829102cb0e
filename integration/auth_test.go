package integration_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// hostApplication is the application that the gateway stands beside. It knows
// its users by the tokens of its own, and answers every other path with the path.
func hostApplication(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/internal/whoami" {
			fmt.Fprint(w, "the application has "+r.URL.Path)
			return
		}
		switch r.Header.Get("Authorization") {
		case "Bearer user-of-acme":
			w.Header().Set("X-Projects", "acme acme2")
		case "Bearer reader-of-acme":
			w.Header().Set("X-Projects", "acme")
			w.Header().Set("X-Scopes", "read")
		case "Bearer user-without-a-project":
		case "Bearer user-of-everything":
			w.Header().Set("X-Projects", "*")
		case "Bearer user-with-commas":
			w.Header().Set("X-Projects", "acme,other")
		case "Bearer user-with-two-headers":
			w.Header()["X-Projects"] = []string{"acme", "other"}
		case "Bearer echo": // a careless application repeats what it is told
			w.Header()["X-Projects"] = r.Header["X-Projects"]
		default:
			http.Error(w, "log in", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(func() {
		app.CloseClientConnections()
		app.Close()
	})
	return app
}

// authGuideCaddyfile returns the configuration of docs/auth.md for the application,
// with the addresses of the test.
func authGuideCaddyfile(t *testing.T, app *httptest.Server) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range codeBlock.FindAllStringSubmatch(string(text), -1) {
		site, found := strings.CutPrefix(block[1], "app.example.com {\n")
		if !found {
			continue
		}
		site = strings.ReplaceAll(site, "app.internal:9000", app.Listener.Addr().String())
		return `{
	admin {$ADMIN}
	webhook_gateway {
		store badger {
			dir {$STORE}
		}
	}
}

http://{$SITE} {
	bind 127.0.0.1
` + site
	}
	t.Fatal("docs/auth.md has no site app.example.com")
	return ""
}

// askAs sends a GET with a token of the application and further headers, as
// name, value.
func askAs(t *testing.T, g *gatewaytest.Gateway, method, path, token string, header ...[2]string) gatewaytest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range header {
		req.Header[h[0]] = append(req.Header[h[0]], h[1]) // as it is written
	}
	answer, err := g.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

const (
	webhooksOfAcme  = "/api/v1/projects/acme/webhooks"
	webhooksOfOther = "/api/v1/projects/other/webhooks"
)

func TestForwardAuthTellsProjectsAndScopes(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: authGuideCaddyfile(t, hostApplication(t))})
	for _, tc := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", webhooksOfAcme, "user-of-acme", 200},
		{"GET", "/api/v1/projects/acme2/webhooks", "user-of-acme", 200},
		{"GET", webhooksOfOther, "user-of-acme", 404},
		{"POST", webhooksOfAcme, "user-of-acme", 415}, // let in; there is no body
		{"GET", webhooksOfAcme, "reader-of-acme", 200},
		{"POST", webhooksOfAcme, "reader-of-acme", 403},
		{"GET", webhooksOfAcme, "user-without-a-project", 401},
		{"GET", webhooksOfOther, "user-of-everything", 200},
		{"GET", webhooksOfAcme, "user-with-commas", 401},
		{"GET", webhooksOfAcme, "user-with-two-headers", 401},
		{"GET", webhooksOfAcme, "echo", 401},
		{"GET", webhooksOfAcme, "nobody", 401},
		{"GET", webhooksOfAcme, "", 401},
	} {
		if got := askAs(t, g, tc.method, tc.path, tc.token); got.Status != tc.want {
			t.Errorf("%s %s as %q: %d %s, want %d", tc.method, tc.path, tc.token, got.Status, got.Body, tc.want)
		}
	}
	if got := askAs(t, g, "GET", "/api/v1/users", "user-of-acme"); got.Body != "the application has /api/v1/users" {
		t.Errorf("a path of the application: %d %s", got.Status, got.Body)
	}
}

// TestForwardAuthClientsGainNothingByHeaders: with the guide's configuration,
// and with forward_auth alone, what a client says of its projects is not heard.
func TestForwardAuthClientsGainNothingByHeaders(t *testing.T) {
	t.Parallel()
	app := hostApplication(t)
	guide := authGuideCaddyfile(t, app)
	bare := strings.NewReplacer("request_header -X-Projects\n", "", "request_header -X-Scopes\n", "").Replace(guide)
	if strings.Contains(bare, "request_header") || bare == guide {
		t.Fatal("the guide's configuration has other request_header lines than this test knows")
	}
	for name, caddyfile := range map[string]string{"as in the guide": guide, "forward_auth alone": bare} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile})
			for _, projects := range [][][2]string{
				{{"X-Projects", "other"}},
				{{"X-Projects", "*"}},
				{{"x-projects", "*"}},
				{{"X-PROJECTS", "other"}, {"x-projects", "*"}},
				{{"X_Projects", "*"}},
				{{"X-Projects", "other"}, {"Connection", "X-Projects"}}, // a hop-by-hop header is dropped on the way to the application
				{{"X-Projects", "{http.request.header.X-Other}"}, {"X-Other", "*"}},
			} {
				header := append(projects, [2]string{"X-Scopes", "read manage"})
				for _, token := range []string{"user-of-acme", "reader-of-acme", "user-without-a-project", "nobody", ""} {
					if got := askAs(t, g, "GET", webhooksOfOther, token, header...); got.Status != 401 && got.Status != 404 {
						t.Errorf("%q as %q: %d %s", header, token, got.Status, got.Body)
					}
					// No more than before either.
					if got := askAs(t, g, "POST", webhooksOfAcme, token, header...); token != "user-of-acme" && got.Status != 401 && got.Status != 403 {
						t.Errorf("%q as %q, POST: %d %s", header, token, got.Status, got.Body)
					}
				}
				if name == "as in the guide" {
					if got := askAs(t, g, "GET", webhooksOfOther, "echo", header...); got.Status != 401 {
						t.Errorf("%q, and the application repeats it: %d %s", header, got.Status, got.Body)
					}
				}
			}
		})
	}
}
