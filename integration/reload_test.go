package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

const (
	reloads           = 100
	reloadConnections = 8
)

// TestReloadsUnderLoad reloads while events come in and deliveries go out, each
// time with other settings. Hardly a request is left without an answer, every
// answer is 202, every event arrives once, and the process is left with the
// goroutines and descriptors it had.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	configuration := func(i int) string {
		return gatewaytest.Caddyfile(oneWebhook(receiver.URL(), "*",
			fmt.Sprintf("timeout %ds", 5+i%3), fmt.Sprintf("concurrency %d", 4+i%5), fmt.Sprintf("header X-Generation %d", i)) +
			fmt.Sprintf("\nworkers %d\nmax_pending_per_webhook %d\nuser_agent generation-%d", 16+i%7, 100000+i, i))
	}
	gateway := startWith(t, "")
	reload(t, gateway, configuration(0))
	before := holds(t, gateway)

	p := &reloadPublisher{gateway: gateway}
	p.publishWhile(reloadConnections, func() {
		for i := range reloads {
			reload(t, gateway, configuration(i))
		}
	})
	// With Caddy's own listeners it is more than one a reload. What is left are
	// requests that net/http has read and not served when the machine is short of
	// time.
	if n := p.dropped.Load(); n > reloads/20 {
		t.Errorf("%d requests got no answer, the first: %s", n, *p.unanswered.Load())
	}
	if answers := p.refused.Load(); answers != nil {
		t.Errorf("a request was refused: %s", *answers)
	}
	awaitNothingPending(t, gateway)

	times := make(map[string]int)
	for _, req := range receiver.Requests() {
		times[req.Header.Get("Webhook-Id")]++
		if n := req.Header.Get("X-Tengine-Attempt"); n != "1" {
			t.Errorf("attempt %s of an event that no receiver refused", n)
		}
	}
	p.acknowledged.Range(func(id, _ any) bool {
		if times[id.(string)] != 1 {
			t.Errorf("event %s arrived %d times", id, times[id.(string)])
		}
		delete(times, id.(string))
		return true
	})
	for id, n := range times {
		t.Errorf("event %s was not acknowledged and arrived %d times", id, n)
	}

	after := awaitHolds(t, gateway, before)
	t.Logf("%d events over %d reloads, %d requests without an answer; goroutines %d to %d, descriptors %d to %d",
		p.next.Load(), reloads, p.dropped.Load(), before.goroutines, after.goroutines, before.descriptors, after.descriptors)
}

// reload reloads, again if Caddy dropped the connection: its admin API is
// replaced with every configuration, too.
func reload(t *testing.T, g *gatewaytest.Gateway, caddyfile string) {
	t.Helper()
	err := g.Reload(caddyfile)
	for dropped(err) {
		err = g.Reload(caddyfile)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dropped says whether a connection ended before any answer. On a reload Caddy
// (and net/http) drop connections from which nothing was read yet, whatever
// handler they would have reached; the client comes again.
func dropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// do sends a request, again if Caddy dropped the connection. req has no body or
// one that can be sent again.
func do(t *testing.T, g *gatewaytest.Gateway, req *http.Request) gatewaytest.Answer {
	t.Helper()
	for {
		answer, err := g.Do(req)
		if err == nil {
			return answer
		}
		if !dropped(err) {
			t.Fatal(err)
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// reloadPublisher publishes events until each is acknowledged.
type reloadPublisher struct {
	gateway      *gatewaytest.Gateway
	next         atomic.Int64
	dropped      atomic.Int64
	unanswered   atomic.Pointer[string] // why the first request was dropped
	acknowledged sync.Map               // ids
	refused      atomic.Pointer[string]
}

func (p *reloadPublisher) publishWhile(connections int, f func()) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for !stop.Load() && p.refused.Load() == nil {
				p.publish()
				time.Sleep(2 * time.Millisecond) // the load is to be steady, not the most there can be
			}
		})
	}
	f()
	stop.Store(true)
	wg.Wait()
}

func (p *reloadPublisher) publish() {
	id := fmt.Sprintf("evt_reload_%d", p.next.Add(1))
	for {
		req, err := ingestRequest(p.gateway, fmt.Sprintf(`{"id":%q,"type":"project.created","data":{"id":"proj_1"}}`, id))
		if err != nil {
			return
		}
		answer, err := p.gateway.Do(req)
		switch {
		case dropped(err):
			p.dropped.Add(1)
			text := err.Error()
			p.unanswered.CompareAndSwap(nil, &text)
			continue
		case err != nil:
			text := err.Error()
			p.refused.Store(&text)
		case answer.Status != http.StatusAccepted || !strings.Contains(answer.Body, `"deliveries":1`):
			text := fmt.Sprintf("%d %s", answer.Status, answer.Body)
			p.refused.Store(&text)
		default:
			p.acknowledged.Store(id, true)
		}
		return
	}
}

// ingestRequest is the request that publishes body.
func ingestRequest(g *gatewaytest.Gateway, body string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, g.URL("/events"), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+gatewaytest.IngestKey)
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// held is what a process holds.
type held struct{ goroutines, descriptors int }

func holds(t *testing.T, g *gatewaytest.Gateway) held {
	t.Helper()
	return held{working(goroutines(t, g)), descriptors(t, g)}
}

// awaitHolds waits until the process holds hardly more than it did before. It
// takes a while until connections of the past are gone.
func awaitHolds(t *testing.T, g *gatewaytest.Gateway, before held) held {
	t.Helper()
	const transient = 3 // such as the connection that asks
	for deadline := time.Now().Add(30 * time.Second); ; {
		now := holds(t, g)
		if now.goroutines <= before.goroutines+transient && now.descriptors <= before.descriptors+transient {
			return now
		}
		if time.Now().After(deadline) {
			t.Errorf("the process holds %+v, before it held %+v:\n%s", now, before, goroutines(t, g))
			return now
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// working counts goroutines but for the dispatcher's workers: some of those
// rest between deliveries, and their number has a bound of its own.
func working(stacks string) int {
	n := 0
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if !strings.Contains(stack, "dispatch.(*Dispatcher).work(") {
			n++
		}
	}
	return n
}

// goroutines returns the stacks of the process's goroutines.
func goroutines(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.AdminURL("/debug/pprof/goroutine?debug=2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, g, req).Body
}

// descriptors counts the process's descriptors; 0 where the system does not tell.
func descriptors(t *testing.T, g *gatewaytest.Gateway) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.PID()))
	if err != nil {
		return 0
	}
	return len(entries)
}

// TestReloadToAnotherStoreAndBack moves between two directories. What is
// pending in one waits there, and goes out when it is opened again.
func TestReloadToAnotherStoreAndBack(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(500)
	// The retry falls due long after the reload to the second store.
	unhurried := func(url string) string {
		return gatewaytest.Caddyfile(strings.Replace(oneWebhook(url, "*"), "retry 1s 2s", "retry 10s", 1))
	}
	first := unhurried(receiver.URL())
	second := strings.Replace(unhurried(receiver.URL()+"second"), "dir {$STORE}", "dir {$STORE}2", 1)
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: first})
	post(t, gateway, `{"id":"e1","type":"project.created","data":{"id":"p"}}`, `{"id":"e1","deliveries":1,"duplicate":false}`)
	receiver.Await(t, 1)

	reload(t, gateway, second)
	post(t, gateway, `{"id":"e1","type":"project.created","data":{"id":"p"}}`, `{"id":"e1","deliveries":1,"duplicate":false}`)
	if got := receiver.Await(t, 2)[1].Path; got != "/second" {
		t.Errorf("path %s, want /second", got)
	}

	reload(t, gateway, first)
	post(t, gateway, `{"id":"e1","type":"project.created","data":{"id":"p"}}`, `{"id":"e1","deliveries":1,"duplicate":true}`)
	again := receiver.Await(t, 3)[2]
	if again.Path != "/" || again.Header.Get("X-Tengine-Attempt") != "2" {
		t.Errorf("got attempt %s at %s, want 2 at /", again.Header.Get("X-Tengine-Attempt"), again.Path)
	}
}

// post publishes an event and compares the answer.
func post(t *testing.T, g *gatewaytest.Gateway, body, want string) {
	t.Helper()
	req, err := ingestRequest(g, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := do(t, g, req); got.Status != http.StatusAccepted || strings.TrimSpace(got.Body) != want {
		t.Errorf("%s: %d %s, want 202 %s", body, got.Status, got.Body, want)
	}
}

// TestParkedWebhookResumes removes a webhook whose delivery waits for a retry:
// it is held, over a restart too, and goes out when the webhook is back.
func TestParkedWebhookResumes(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(500)
	with := gatewaytest.Caddyfile(oneWebhook(receiver.URL(), "*"))
	gateway := startWith(t, "")
	reload(t, gateway, with)
	post(t, gateway, `{"id":"e1","type":"project.created","data":{"id":"p"}}`, `{"id":"e1","deliveries":1,"duplicate":false}`)
	receiver.Await(t, 1)

	gateway.Stop(t)
	gateway.Restart(t) // with the configuration that has no webhook
	other := gatewaytest.NewReceiver(t)
	reload(t, gateway, gatewaytest.Caddyfile(strings.Replace(oneWebhook(other.URL(), "*"), "webhook one", "webhook other", 1)))
	post(t, gateway, `{"id":"e2","type":"project.created","data":{"id":"p"}}`, `{"id":"e2","deliveries":1,"duplicate":false}`)
	other.Await(t, 1)
	time.Sleep(2 * time.Second) // the retry of e1 has fallen due
	if n := len(receiver.Requests()); n != 1 {
		t.Fatalf("the parked webhook got %d requests, want 1", n)
	}

	reload(t, gateway, with)
	second := receiver.Await(t, 2)[1]
	if id, n := second.Header.Get("Webhook-Id"), second.Header.Get("X-Tengine-Attempt"); id != "e1" || n != "2" {
		t.Errorf("got attempt %s of %s, want attempt 2 of e1", n, id)
	}
}

// TestReloadDoesNotInterruptAttempts reloads while an attempt waits for its
// answer: it ends as if nothing had been.
func TestReloadDoesNotInterruptAttempts(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	proceed := make(chan struct{})
	receiver.Handle(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-proceed }))
	settings := oneWebhook(receiver.URL(), "*", "timeout 30s")
	gateway := startWith(t, settings)
	gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"p"}}`)
	receiver.Await(t, 1)
	for i := range 3 {
		reload(t, gateway, gatewaytest.Caddyfile(settings+fmt.Sprintf("\nworkers %d", i+1)))
	}
	close(proceed)
	awaitNothingPending(t, gateway)
	if n := len(receiver.Requests()); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
	if got := status(t, gateway).Deliveries["delivered"]; got != 1 {
		t.Errorf("%d delivered, want 1", got)
	}
}

// TestValidateBesideTheRunningServer runs "validate" in a second process with
// the first one's configuration and directories. The first one stands still
// meanwhile, with its store locked.
func TestValidateBesideTheRunningServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile(""), Dir: dir})
	store := filepath.Join(dir, "store")
	process, err := os.FindProcess(gateway.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGSTOP); err != nil { // it keeps files of its own up to date
		t.Fatal(err)
	}
	before := listing(t, store)
	for _, validated := range []string{store, filepath.Join(dir, "missing", "store")} {
		validate := exec.Command(gatewaytest.Binary(t), "validate", "--config", filepath.Join(dir, "Caddyfile"), "--adapter", "caddyfile")
		validate.Dir = dir
		validate.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
			"ADMIN=127.0.0.1:1", "ADMIN_PORT=1", "SITE=127.0.0.1:2", "STORE=" + validated,
		}
		if out, err := validate.CombinedOutput(); err != nil {
			t.Errorf("validate with store %s: %v\n%s", validated, err, out)
		}
	}
	if diff := cmp.Diff(before, listing(t, store)); diff != "" {
		t.Errorf("the store's files (-before +after)\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("validation made a directory: %v", err)
	}
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	post(t, gateway, `{"id":"e1","type":"project.created","data":{"id":"p"}}`, `{"id":"e1","deliveries":0,"duplicate":false}`)
}

// listing returns the names and sizes of the files in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintln(&b, e.Name(), info.Size())
		}
	}
	return b.String()
}
