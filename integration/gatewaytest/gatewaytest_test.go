package gatewaytest_test

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }

// plain is a configuration without the gateway: what is tested here is the
// handling of the process.
func plain(answer string) string {
	return `{
	admin {$ADMIN}
}

http://{$SITE} {
	bind 127.0.0.1
	respond ` + answer + `
}
`
}

func TestStartReloadKillRestartStop(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: plain("before")})
	wantBody(t, g, "before")

	if err := g.Reload(plain("after")); err != nil {
		t.Fatal(err)
	}
	wantBody(t, g, "after")

	g.Kill(t)
	g.Restart(t)
	wantBody(t, g, "before")

	if took := g.Stop(t); took <= 0 {
		t.Errorf("Stop took %v", took)
	}
	if !strings.Contains(g.Log(), "shutdown complete") {
		t.Error("the log does not show a clean stop")
	}
}

func TestReloadTellsWhyCaddyRefuses(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: plain("before")})
	err := g.Reload("{\n\tno_such_option\n}\n")
	if err == nil || !strings.Contains(err.Error(), "no_such_option") {
		t.Errorf("got %v, want an error that names the option", err)
	}
	wantBody(t, g, "before")
}

func TestProcessGetsDirAndEnvironment(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config{
		Caddyfile: plain("{$GREETING}"),
		Dir:       t.TempDir(),
		Env:       []string{"GREETING=hello"},
	})
	wantBody(t, g, "hello")
}

func TestReceiverRecordsAndAnswersAsScripted(t *testing.T) {
	r := gatewaytest.NewReceiver(t)
	r.Answer(http.StatusInternalServerError, http.StatusGone)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var got []int
	for _, body := range []string{"one", "two", "three"} {
		res, err := client.Post(r.URL()+"path", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got = append(got, res.StatusCode)
	}
	if diff := cmp.Diff([]int{500, 410, 200}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}

	var bodies []string
	for _, req := range r.Await(t, 3) {
		bodies = append(bodies, req.Method+" "+req.Path+" "+string(req.Body))
	}
	want := []string{"POST /path one", "POST /path two", "POST /path three"}
	if diff := cmp.Diff(want, bodies); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestReceiverLetsAHandlerAnswer(t *testing.T) {
	r := gatewaytest.NewReceiver(t)
	r.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Post(r.URL(), "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "7" {
		t.Errorf("got %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if n := len(r.Requests()); n != 1 {
		t.Errorf("%d requests recorded, want 1", n)
	}
}

func wantBody(t *testing.T, g *gatewaytest.Gateway, want string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Do(req)
	if errors.Is(err, syscall.ECONNRESET) { // right after a reload: see Reload
		got, err = g.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK || got.Body != want {
		t.Errorf("got %d %q, want 200 %q", got.Status, got.Body, want)
	}
}
