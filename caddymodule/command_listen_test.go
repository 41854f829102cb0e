package caddymodule

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

const listenSecret = "a-secret-for-trying-things-out"

var listenTime = time.Date(2024, 1, 1, 12, 0, 5, 123e6, time.UTC)

// output collects what a receiver prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// listening is a running receiver.
type listening struct {
	url  string
	out  *output
	stop func() string // ends it and returns everything it printed, its address replaced
}

func listen(t *testing.T, r *receiver) listening {
	t.Helper()
	before := goleak.IgnoreCurrent()
	out := new(output)
	r.out = out
	r.now = func() time.Time { return listenTime }
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx, ln) }()
	stop := sync.OnceValue(func() string {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		return strings.ReplaceAll(out.String(), ln.Addr().String(), "127.0.0.1:3000")
	})
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	return listening{"http://" + ln.Addr().String(), out, stop}
}

// post sends a request and returns its status.
func post(t *testing.T, url, body string, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// delivery returns the headers of a delivery signed with the secrets.
func delivery(body string, secrets ...webhook.Secret) http.Header {
	h := http.Header{}
	for name, value := range signer.New(secrets).Sign(listenTime, "evt_01J9Z3Q8M5", []byte(body)).Headers() {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "Tengine-Webhooks/1")
	h.Set("X-Tengine-Event", "project.created")
	h.Set("X-Tengine-Delivery", "dlv_01J9Z3Q8M6")
	h.Set("X-Tengine-Attempt", "1")
	return h
}

const listenBody = `{"id":"evt_01J9Z3Q8M5","type":"project.created","data":{"id":"proj_123"},"created_at":"2024-01-01T12:00:05Z","api_version":"2021-09-01"}`

func TestListenPrintsDeliveriesAndVerdicts(t *testing.T) {
	l := listen(t, &receiver{secret: listenSecret, status: http.StatusNoContent})

	good := delivery(listenBody, webhook.Secret{Value: listenSecret})
	good.Set("X-Custom-Header", "custom-value")
	if status := post(t, l.url+"/webhook", listenBody, good); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	rotating := delivery(listenBody, webhook.Secret{Value: "another-secret-0123"}, webhook.Secret{Value: listenSecret, Role: webhook.SecretPrevious})
	rotating.Set("X-Tengine-Attempt", "2")
	rotating.Set("X-Tengine-Test", "true")
	post(t, l.url, listenBody, rotating)
	post(t, l.url, listenBody+" ", delivery(listenBody, webhook.Secret{Value: listenSecret}))
	post(t, l.url, listenBody, delivery(listenBody))
	post(t, l.url+"/other?q", "", http.Header{"User-Agent": {"x"}})

	want := `listening on http://127.0.0.1:3000, answering 204; Ctrl-C ends

12:00:05.123  project.created  evt_01J9Z3Q8M5
  delivery   dlv_01J9Z3Q8M6, attempt 1
  signature  x-tengine-signature verified
             webhook-signature verified
  header     X-Custom-Header: custom-value
  body       ` + listenBody + `
  answered   204

12:00:05.123  project.created  evt_01J9Z3Q8M5
  delivery   dlv_01J9Z3Q8M6, attempt 2, a test
  signature  x-tengine-signature verified
             webhook-signature verified
  body       ` + listenBody + `
  answered   204

12:00:05.123  project.created  evt_01J9Z3Q8M5
  delivery   dlv_01J9Z3Q8M6, attempt 1
  signature  x-tengine-signature WRONG: no signature matches: another secret, or not the body as it was received
             webhook-signature WRONG: no signature matches: another secret, or not the body as it was received
  body       ` + listenBody + ` 
  answered   204

12:00:05.123  project.created  evt_01J9Z3Q8M5
  delivery   dlv_01J9Z3Q8M6, attempt 1
  signature  x-tengine-signature WRONG: missing header: x-tengine-signature
             webhook-signature WRONG: missing header: webhook-signature
  body       ` + listenBody + `
  answered   204

12:00:05.123  POST /other, not a delivery
  body       empty
  answered   204

attempts received: 4, verified: 2
`
	if diff := cmp.Diff(want, l.stop()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestListenWithoutSecretChecksNothing(t *testing.T) {
	l := listen(t, &receiver{status: http.StatusOK, delay: time.Millisecond})
	post(t, l.url, listenBody, delivery(listenBody, webhook.Secret{Value: listenSecret}))
	want := `listening on http://127.0.0.1:3000, answering 200 after 1ms; Ctrl-C ends
signatures are not checked: give the webhook's secret with --secret

12:00:05.123  project.created  evt_01J9Z3Q8M5
  delivery   dlv_01J9Z3Q8M6, attempt 1
  signature  x-tengine-signature not checked
             webhook-signature not checked
  body       ` + listenBody + `

attempts received: 1
`
	if diff := cmp.Diff(want, l.stop()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestListenSaysWhatFailuresAreAnsweredWith(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		l := listen(t, &receiver{status: http.StatusOK, failures: 1, delay: delay})
		for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
			if status := post(t, l.url, listenBody, delivery(listenBody)); status != want {
				t.Errorf("after %s: status %d, want %d", delay, status, want)
			}
		}
		line := "  body       " + listenBody + "\n  answered   503\n"
		if delay > 0 { // the request was printed when it came
			line = "\n12:00:05.123  project.created  evt_01J9Z3Q8M5\n  answered   503\n"
		}
		if got := l.stop(); strings.Count(got, line) != 1 || strings.Count(got, "answered ") != 1 {
			t.Errorf("after %s: want %q once in\n%s", delay, line, got)
		}
	}
}

func TestListenPrintsNothingThatActsOnATerminal(t *testing.T) {
	l := listen(t, &receiver{status: http.StatusOK})
	const nasty = "\x1b[2J\u009b31m\u202e\r\n\t\x00\xff\u2028ü✓"
	header := delivery(nasty)
	header.Set("X-Tengine-Event", "a\u009bb")
	header.Set("X-Nasty", "\u202e\u009b")
	post(t, l.url+"/%1b[2J", nasty, header)
	post(t, l.url+"/%1b[2J", nasty, http.Header{})
	got := l.stop()
	if i := strings.IndexFunc(got, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 {
		t.Errorf("%q at %d", got, i)
	}
	for _, want := range []string{`\x1b[2J\u009b31m\u202e\r\n\t\x00\xff\u2028ü✓`, `a\u009bb`, `X-Nasty: \u202e\u009b`, `POST /\x1b[2J`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

func TestListenBoundsWhatItReadsAndPrints(t *testing.T) {
	l := listen(t, &receiver{secret: listenSecret, status: http.StatusOK})
	if status := post(t, l.url, strings.Repeat("x", maxReceived+1), delivery("")); status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", status)
	}
	body := strings.Repeat("ü", 300<<10)
	header := delivery(body, webhook.Secret{Value: listenSecret})
	for _, name := range []string{"X-A", "X-B", "X-C"} {
		header.Set(name, strings.Repeat("v", 4096))
	}
	if status := post(t, l.url, body, header); status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
	got := l.stop()
	for _, want := range []string{"over 1048576 bytes, not read", "webhook-signature verified", "ü… (614400 bytes in all)", "… and more"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in the output", want)
		}
	}
	if len(got) > 20<<10 {
		t.Errorf("%d bytes of output", len(got))
	}
}

// TestListenEndsAtOnceWhileItDelays also covers a sender that does not wait.
func TestListenEndsAtOnceWhileItDelays(t *testing.T) {
	l := listen(t, &receiver{status: http.StatusOK, delay: time.Hour})
	impatient, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	for _, ctx := range []context.Context{impatient, t.Context()} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
	}
	waitFor(t, func() bool { return strings.Count(l.out.String(), "body ") == 2 })
	cancel()
	waitFor(t, func() bool { return strings.Contains(l.out.String(), "hung up") })
	started := time.Now()
	got := l.stop()
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	for range 2 {
		if err := <-failed; err == nil {
			t.Error("a request was answered")
		}
	}
	if !strings.HasSuffix(got, "\nattempts received: 0\n") {
		t.Errorf("%q", got)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within 20 s")
		}
	}
}

func TestListenSecretComesFromWhereItIsSaid(t *testing.T) {
	t.Setenv("WGW_SECRET", listenSecret)
	t.Setenv("WGW_SHORT", "hush")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(listenSecret+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{listenSecret, "{env.WGW_SECRET}", "@" + file, "@-", "{file." + file + "}"} {
		if got, err := readSecret(arg, strings.NewReader(listenSecret+"\n")); got != listenSecret || err != nil {
			t.Errorf("%s: %q, %v", arg, got, err)
		}
	}
	for _, arg := range []string{"", "hush", "{env.WGW_SHORT}", "{env.WGW_NOT_SET}", "@" + file + "-missing", "@-"} {
		if _, err := readSecret(arg, strings.NewReader("")); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want an error that does not repeat the secret", arg, err)
		}
	}
}

func TestListenRefusesFlagsThatMakeNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"--status", "199"},
		{"--status", "600"},
		{"--status", "x"},
		{"--fail-first", "-1"},
		{"--delay", "soon"},
		{"--delay", "-1s"},
		{"--secret", ""},
		{"--listen", "nowhere"},
		{"surplus"},
		{"--unknown"},
	} {
		cmd := newListenCommand()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.Execute(); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
