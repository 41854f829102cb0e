package caddymodule_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// The tests of this file look at what belongs to the process rather than to one
// configuration: metrics, logs, admin routes, and requests between two of them.

func TestCountersSurviveReloads(t *testing.T) {
	s := newServer(t)
	s.load(config{})
	accepted := s.metric(`events_total{result="accepted"}`)
	for range 3 {
		s.publish(createdEvent)
		s.load(config{settings: webhookTo("one", "*")})
	}
	s.publish(`{"id":"e1","type":"project.created","data":{"id":"proj_1"}}`)
	if got, want := s.metric(`events_total{result="accepted"}`), accepted+4; got != want {
		t.Errorf("accepted events: %v, want %v", got, want)
	}
	if got := s.metric(`deliveries{status="pending"}`); got != 3 {
		t.Errorf("pending deliveries: %v, want 3", got)
	}
	rejected := s.metric(`events_total{result="rejected"}`)
	s.publish(`{"id":"e1","type":"project.deleted","data":{"id":"proj_1"}}`) // another content: 409
	s.publish(`{"id":"e1"}`)
	s.publish(`[` + createdEvent + `,{}]`)
	if got, want := s.metric(`events_total{result="rejected"}`), rejected+3; got != want {
		t.Errorf("rejected events: %v, want %v", got, want)
	}
	s.load(config{store: "b"})
	if got := s.metric(`deliveries{status="pending"}`); got != 0 {
		t.Errorf("pending deliveries in another store: %v, want 0", got)
	}
}

// metric reads a sample from /metrics.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	a := s.admin(http.MethodGet, "/metrics")
	for line := range strings.Lines(a.body) {
		if rest, ok := strings.CutPrefix(line, "caddy_webhook_gateway_"+name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	s.t.Fatalf("no metric %s in\n%s", name, a.body)
	return 0
}

// TestEngineLogsToTheConfigurationInForce lets the store log after each change
// of configuration, and looks for the line in the log of that configuration.
func TestEngineLogsToTheConfigurationInForce(t *testing.T) {
	s := newServer(t)
	logTo := func(name string) config {
		return config{global: fmt.Sprintf("log {\noutput file %s\n}\n", s.path(name))}
	}
	refused := logTo("refused.log")
	refused.edit = withFailingApp
	for i, step := range []struct {
		load    config
		refused bool
		want    string
	}{
		{logTo("first.log"), false, "first.log"},
		{logTo("second.log"), false, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{logTo("third.log"), false, "third.log"},
	} {
		if err := s.tryLoad(step.load); (err != nil) != step.refused {
			t.Fatal(err)
		}
		line := fmt.Sprintf("line %d of the store", i)
		traces.of(s.path("a")).logger.Info(line)
		for _, name := range []string{"first.log", "second.log", "third.log", "refused.log"} {
			text, err := os.ReadFile(s.path(name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if got, want := bytes.Contains(text, []byte(line)), name == step.want; got != want {
				t.Errorf("step %d: %q in %s: %t, want %t", i, line, name, got, want)
			}
			if name == step.want && !bytes.Contains(text, []byte(`"webhook_gateway.store"`)) {
				t.Errorf("step %d: the line does not name its logger", i)
			}
		}
	}
}

func TestGuestFilterEngineFromTheCaddyfile(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*", "filter word created")})
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"p"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)
	s.wantAnswer(`{"id":"e2","type":"project.updated","data":{"id":"p"}}`, 202, `{"id":"e2","deliveries":0,"duplicate":false}`)

	err := s.tryLoad(config{settings: webhookTo("one", "*", `filter word "two words"`)})
	if err == nil || !strings.Contains(err.Error(), "word has no spaces") {
		t.Errorf("got error %v, want the engine's", err)
	}
}

func TestAdminStatus(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*")})
	s.publish(createdEvent)
	get := func(method string) answer {
		t.Helper()
		return s.admin(method, "/webhook_gateway/status")
	}
	if a := get("GET"); a.status != 200 || !strings.Contains(a.body, `"status":"ok"`) || !strings.Contains(a.body, `"pending":1`) {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	for _, method := range []string{"POST", "DELETE", "HEAD"} {
		if a := get(method); a.status != 405 || a.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q; want 405, GET", method, a.status, a.header.Get("Allow"))
		}
	}
	if err := s.tryLoad(config{settings: "workers 2", edit: withFailingApp}); err == nil {
		t.Fatal("the configuration with an app that fails was taken")
	}
	if a := get("GET"); a.status != 200 {
		t.Errorf("after a configuration was refused: %d %s, want 200", a.status, a.body)
	}
	s.load(config{edit: func(doc map[string]any) {
		apps := doc["apps"].(map[string]any)
		delete(apps, "webhook_gateway")
		delete(apps, "http")
	}})
	if a := get("GET"); a.status != 404 {
		t.Errorf("without a gateway: %d %s, want 404", a.status, a.body)
	}
}

// TestRequestsWaitUntilTheGatewayHasStarted sends requests while the store is
// being opened. The HTTP server may or may not listen by then.
func TestRequestsWaitUntilTheGatewayHasStarted(t *testing.T) {
	for _, opens := range []bool{true, false} {
		t.Run(fmt.Sprintf("store opens %t", opens), func(t *testing.T) {
			s := newServer(t)
			waited := false
			for range 30 {
				waited = s.publishWhileOpening(opens) || waited
				if waited && opens {
					break
				}
			}
			if !waited {
				t.Error("the HTTP server never started before the gateway")
			}
		})
	}
}

// publishWhileOpening loads a configuration whose store takes its time to open,
// or fails to, and publishes meanwhile. It returns false if the HTTP server
// was not there yet.
func (s *server) publishWhileOpening(opens bool) (waited bool) {
	t := s.t
	opening, proceed := make(chan struct{}), make(chan struct{})
	traces.setHook(func(string) error {
		close(opening)
		<-proceed
		if !opens {
			return errors.New("the store does not open")
		}
		return nil
	})
	s.move()
	doc := s.adapted(config{})
	loaded := make(chan error, 1)
	go func() { loaded <- caddy.Load(doc, true) }()
	<-opening

	type result struct {
		answer answer
		err    error
	}
	ask := func(method, url string) chan result {
		got := make(chan result, 1)
		go func() {
			a, err := s.do(method, url, strings.NewReader(createdEvent))
			got <- result{a, err}
		}()
		return got
	}
	published := ask("POST", "http://site/events")
	status := ask("GET", "http://admin/webhook_gateway/status")
	select {
	case r := <-published:
		if r.err == nil {
			t.Errorf("answered before the gateway was ready: %d %s", r.answer.status, r.answer.body)
		}
		published <- r
	case <-time.After(100 * time.Millisecond): // it waits, or is about to
	}
	close(proceed)
	if err := <-loaded; (err == nil) != opens {
		t.Fatalf("load: %v", err)
	}
	want, retryAfter := 202, ""
	if !opens {
		want, retryAfter = 503, "1"
	}
	r := <-published
	waited = r.err == nil // else nobody listened, or its connection was dropped
	if waited && (r.answer.status != want || r.answer.header.Get("Retry-After") != retryAfter) {
		t.Errorf("request that waited: %d %s, Retry-After %q; want %d, Retry-After %q",
			r.answer.status, r.answer.body, r.answer.header.Get("Retry-After"), want, retryAfter)
	}
	if r := <-status; r.err == nil && !slices.Contains([]int{200, 503}, r.answer.status) {
		t.Errorf("status meanwhile: %d %s", r.answer.status, r.answer.body)
	}
	if opens {
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	return waited
}

// TestRequestOutlivesItsConfiguration has a request in flight while the
// configuration is replaced, cleaned up and, perhaps, its store closed.
func TestRequestOutlivesItsConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		next   config
		status int
	}{
		"same store":    {config{settings: webhookTo("one", "*")}, 202},
		"another store": {config{store: "b"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.load(config{})
			conn := s.dial()
			fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
				ingestKey, len(createdEvent))
			if got := readStatus(t, conn); got != 100 { // it is about to read the body
				t.Fatalf("got %d, want 100", got)
			}
			s.load(tt.next)
			if _, err := io.WriteString(conn, createdEvent); err != nil {
				t.Fatal(err)
			}
			if got := readStatus(t, conn); got != tt.status {
				t.Errorf("got %d, want %d", got, tt.status)
			}
		})
	}
}

// TestOneGatewayBehindSeveralSites publishes the same event through two sites
// with settings of their own.
func TestOneGatewayBehindSeveralSites(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*"), sites: `
http://site2:{site2} {
	bind 127.0.0.1
	webhook_ingest /hooks/in {
		auth off
		max_size 200
	}
	respond 403
}
`})
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"p"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)

	second, err := s.do("POST", "http://site2/hooks/in", strings.NewReader(`{"id":"e1","type":"project.created","data":{"id":"p"}}`),
		"Content-Type", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"e1","deliveries":1,"duplicate":true}`; second.status != 202 || strings.TrimSpace(second.body) != want {
		t.Errorf("second site: %d %s, want 202 %s", second.status, second.body, want)
	}
	large := `{"type":"project.created","data":{"id":"p","x":"` + strings.Repeat("x", 200) + `"}}`
	if a, err := s.do("POST", "http://site2/hooks/in", strings.NewReader(large)); err != nil || a.status != 413 {
		t.Errorf("second site, larger than its max_size: %d, %v; want 413", a.status, err)
	}
	if a := s.publish(large); a.status != 202 {
		t.Errorf("first site: %d %s, want 202", a.status, a.body)
	}
	for url, want := range map[string]int{"http://site2/events": 403, "http://site/hooks/in": 404} {
		if a, err := s.do("POST", url, nil); err != nil || a.status != want {
			t.Errorf("%s: %d, %v; want %d", url, a.status, err, want)
		}
	}
}
