package gatewaytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Config says how to start a gateway.
type Config struct {
	// Caddyfile is the configuration. Required. Caddy replaces {$ADMIN} by a
	// free loopback address for the admin API ({$ADMIN_PORT}: its port),
	// {$SITE} by one for a site ({$SITE_PORT}: its port), {$STORE} by a
	// directory for the store. The first two must be used.
	Caddyfile string

	// Dir is where everything is that the process writes: its store, Caddy's
	// data, its log. Give it to two gateways to let one continue the other's
	// work. Default: a temporary directory of the test.
	Dir string

	// Env holds further environment variables, as "NAME=value". The process
	// inherits only PATH.
	Env []string
}

// Gateway is a gateway that runs as a process. Its methods are for one
// goroutine, except Post, URL, AdminURL and Log.
type Gateway struct {
	config      Config
	binary      string
	admin, site string // host:port
	client      *http.Client

	process *exec.Cmd // nil while stopped
	ended   chan struct{}
	endErr  error // of Wait; to be read after ended is closed
}

// Start starts a gateway and returns when its configuration is loaded. The
// test's end kills it. If the test fails, its log is shown; a data race or panic
// in the log fails the test.
func Start(t testing.TB, c Config) *Gateway {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	g := &Gateway{
		config: c,
		binary: Binary(t),
		admin:  freeAddress(t),
		site:   freeAddress(t),
		client: &http.Client{
			Transport: &http.Transport{DisableKeepAlives: true}, // leaves no goroutine
			Timeout:   patience,
		},
	}
	if err := os.WriteFile(g.path("Caddyfile"), []byte(c.Caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.finish(t) })
	g.Restart(t)
	return g
}

// Restart starts a gateway that was stopped or killed, with the Caddyfile it
// was started with, on the same addresses and directory.
func (g *Gateway) Restart(t testing.TB) {
	t.Helper()
	if g.process != nil {
		t.Fatal("the gateway runs already")
	}
	log, err := os.OpenFile(g.path("gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the process has its own

	g.process = exec.Command(g.binary, "run", "--config", g.path("Caddyfile"), "--adapter", "caddyfile")
	g.process.Dir = g.config.Dir
	g.process.Env = append(g.environment(), g.config.Env...)
	g.process.Stdout, g.process.Stderr = log, log
	if err := g.process.Start(); err != nil {
		g.process = nil
		t.Fatalf("start the gateway: %v", err)
	}
	ended := make(chan struct{})
	g.ended = ended
	go func(p *exec.Cmd) { // ends with the process, which finish kills
		g.endErr = p.Wait()
		close(ended)
	}(g.process)
	g.awaitAdmin(t)
}

func (g *Gateway) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + g.config.Dir,
		"XDG_DATA_HOME=" + g.path("data"),
		"XDG_CONFIG_HOME=" + g.path("config"),
		"ADMIN=" + g.admin,
		"ADMIN_PORT=" + port(g.admin),
		"SITE=" + g.site,
		"SITE_PORT=" + port(g.site),
		"STORE=" + g.path("store"),
	}
}

// port returns the port of a host:port.
func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func (g *Gateway) awaitAdmin(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if g.configured(ctx) {
			return
		}
		select {
		case <-again.C:
		case <-g.ended:
			t.Fatalf("the gateway ended: %v", g.endErr)
		case <-ctx.Done():
			t.Fatalf("the admin API did not answer within %v", patience)
		}
	}
}

func (g *Gateway) configured(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.AdminURL("/config/apps"), nil)
	if err != nil {
		return false
	}
	res, err := g.client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// Kill ends the process as a power failure would, without a chance to finish
// anything, and returns when it has ended.
func (g *Gateway) Kill(t testing.TB) {
	t.Helper()
	g.end(t, syscall.SIGKILL)
}

// Stop asks the process to end (SIGTERM) and returns how long it took. An exit
// status other than 0 fails the test.
func (g *Gateway) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	g.end(t, syscall.SIGTERM)
	if g.endErr != nil {
		t.Errorf("the gateway did not stop cleanly: %v", g.endErr)
	}
	return time.Since(began)
}

func (g *Gateway) end(t testing.TB, signal os.Signal) {
	t.Helper()
	if g.process == nil {
		t.Fatal("the gateway does not run")
	}
	if err := g.process.Process.Signal(signal); err != nil {
		t.Fatalf("signal %v: %v", signal, err)
	}
	select {
	case <-g.ended:
		g.process = nil
	case <-time.After(patience):
		t.Fatalf("the gateway did not end within %v of %v", patience, signal)
	}
}

// finish is the test's cleanup.
func (g *Gateway) finish(t testing.TB) {
	if g.process != nil {
		_ = g.process.Process.Kill() // it may have ended by itself
		<-g.ended
		g.process = nil
	}
	log := g.Log()
	for _, sign := range []string{"panic:", "fatal error:"} {
		if strings.Contains(log, sign) {
			t.Errorf("the gateway's log has %q", sign)
		}
	}
	if racing(log) {
		t.Error("the gateway's log has a data race")
	}
	if t.Failed() {
		t.Logf("log of the gateway:\n%s", tail(log))
	}
}

// racing says whether a log reports a data race that code of this module has a
// part in. Caddy has some of its own when it is told to exit while it reloads.
func racing(log string) bool {
	reports := strings.Split(log, "WARNING: DATA RACE")
	for _, report := range reports[1:] {
		report, _, _ = strings.Cut(report, "\n==================")
		if strings.Contains(report, "github.com/tengineai/webhook-gateway/") {
			return true
		}
	}
	return false
}

// tail returns the end of a log: a failing load test would fill the screen.
func tail(log string) string {
	const most = 64 << 10
	if len(log) <= most {
		return log
	}
	return fmt.Sprintf("(%d bytes left out)…%s", len(log)-most, log[len(log)-most:])
}

// Reload gives the running process another Caddyfile, as "caddy reload" does.
// The error has Caddy's reason if it refuses; the old one is then in force.
//
// A connection that is opened at the same moment may be reset before anything of
// it is read: Caddy opens a second listener on the port and then closes the
// first, and Linux resets what waits in its queue unless the sysctl
// net.ipv4.tcp_migrate_req is 1. A producer repeats such a request; a test that
// sends during a reload has to as well.
func (g *Gateway) Reload(caddyfile string) error {
	res, err := g.client.Post(g.AdminURL("/load"), "text/caddyfile", strings.NewReader(caddyfile))
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: %s: %s", res.Status, bytes.TrimSpace(body))
	}
	return nil
}

// Answer is an HTTP answer of the gateway.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Post sends body as application/json to a path of the site with IngestKey, and
// returns the answer. A request without an answer fails the test.
func (g *Gateway) Post(t testing.TB, path, body string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+IngestKey)
	req.Header.Set("Content-Type", "application/json")
	answer, err := g.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Do sends req, for requests that Post does not fit and for those that may go
// unanswered because the gateway is killed.
func (g *Gateway) Do(req *http.Request) (Answer, error) {
	res, err := g.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(body)}, nil
}

// PID returns the id of the process, which must be running.
func (g *Gateway) PID() int { return g.process.Process.Pid }

// URL returns the URL of a path of the site.
func (g *Gateway) URL(path string) string { return "http://" + g.site + path }

// AdminURL returns the URL of a path of Caddy's admin API.
func (g *Gateway) AdminURL(path string) string { return "http://" + g.admin + path }

// Log returns what the process has written to its standard output and error,
// over all restarts.
func (g *Gateway) Log() string {
	b, err := os.ReadFile(g.path("gateway.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (g *Gateway) path(name string) string { return filepath.Join(g.config.Dir, name) }
