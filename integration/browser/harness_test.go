package browser_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

func TestMain(m *testing.M) { browser.Main(m) }

// serve serves one page of HTML until the test ends, at another origin than the
// gateway's.
func serve(t *testing.T, html func(*http.Request) string, headers ...string) (origin string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = io.WriteString(w, html(r))
	}))
	t.Cleanup(func() {
		s.CloseClientConnections() // Chromium keeps its own open
		s.Close()
	})
	return s.URL
}

// foreign returns an origin under the name localhost, which to a browser is
// another site than 127.0.0.1.
func foreign(origin string) string { return strings.Replace(origin, "127.0.0.1", "localhost", 1) }

// TestNoticesWhatPagesComplainOf proves that the other tests of this package
// would fail where they must.
func TestNoticesWhatPagesComplainOf(t *testing.T) {
	t.Parallel()
	origin := serve(t, func(*http.Request) string {
		return `<!doctype html><html lang=en><title>x</title><main><h1>Hello</h1>
		<p style="color:#ccc;background:#fff">faint</p><p class=wide>wide</p>
		<script src="/missing.js"></script><script>document.title = "ran"</script>
		</main>`
	}, "Content-Security-Policy", "default-src 'self'")
	p := browser.Open(t, browser.Visitor{})
	if got := p.Goto(origin); got.Status != 200 || got.Header["content-security-policy"] == "" {
		t.Errorf("arrived with %+v", got)
	}
	p.See(browser.Heading("Hello"))
	if title := p.Evaluate("document.title"); title != "x" {
		t.Errorf("title %q: the inline script ran", title)
	}
	problems := strings.Join(p.Problems(), "\n")
	for _, want := range []string{"style-src", "script-src"} {
		if !strings.Contains(problems, want) {
			t.Errorf("got %q, want %s in it", problems, want)
		}
	}
	p.Evaluate(`setTimeout(() => { alert("boo"); throw new Error("thrown") }, 0)`)
	p.Evaluate(`new Promise(r => setTimeout(r, 50))`)
	problems = strings.Join(p.Problems(), "\n")
	if !strings.Contains(problems, "dialog: boo") || !strings.Contains(problems, "thrown") {
		t.Errorf("got %q, want the dialog and the error", problems)
	}
}
