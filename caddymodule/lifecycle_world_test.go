package caddymodule_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/standard"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	_ "github.com/caddyserver/caddy/v2/modules/logging"
	_ "github.com/caddyserver/caddy/v2/modules/metrics"
)

// patience bounds waits that only end late when something is broken.
const patience = 30 * time.Second

const (
	ingestKey = "an-ingest-key-for-lifecycle-tests"
	otherKey  = "another-key-for-lifecycle-tests"
)

// server is Caddy in the test's process, with a directory of its own. Caddy
// runs once per process, so these tests do not run side by side.
//
// Its sites are reached by name: "site", "site2". So is the admin API: "admin".
// Each configuration has its sites at new addresses, so that no request reaches
// the sites of the one before.
type server struct {
	t         *testing.T
	dir       string
	addresses map[string]string // by name
	client    http.Client
}

// newServer prepares a server; load starts it. The test's end stops it and
// checks that no store is left open.
func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "wgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	s := &server{t: t, dir: dir, addresses: make(map[string]string)}
	s.addresses["admin"] = freeAddress(t)
	s.move()
	s.client.Timeout = patience
	s.client.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			name, _, _ := strings.Cut(addr, ":")
			return new(net.Dialer).DialContext(ctx, network, s.addresses[name])
		},
	}
	t.Cleanup(func() {
		const nothing = `{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"writer":{"output":"discard"}}}}}`
		if err := caddy.Load([]byte(nothing), true); err != nil {
			t.Error(err)
		}
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		for _, key := range traces.open() {
			t.Errorf("store %s is still open", key)
		}
		traces.reset()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// freeAddress returns an address on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// move gives the sites new addresses, for the next configuration.
func (s *server) move() {
	s.t.Helper()
	for _, name := range []string{"site", "site2"} {
		s.addresses[name] = freeAddress(s.t)
	}
}

// port returns the port of a site.
func (s *server) port(name string) string {
	return strings.TrimPrefix(s.addresses[name], "127.0.0.1:")
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// config is a Caddyfile in parts. The zero config has a gateway with one API
// key over the store "a", and one site.
type config struct {
	store    string // name of its directory, "a" if empty
	settings string // inside webhook_gateway
	global   string // global options
	ingest   string // inside webhook_ingest
	sites    string // more sites; {site2} is a port
	edit     func(doc map[string]any)
}

// adapted returns the configuration as JSON.
func (s *server) adapted(c config) []byte {
	s.t.Helper()
	if c.store == "" {
		c.store = "a"
	}
	text := fmt.Sprintf(`{
	admin %[1]s {
		origins admin
	}
	persist_config off
	auto_https off
	storage file_system %[2]s
	storage_check off
	storage_clean_interval off
	grace_period 3s
	%[3]s
	webhook_gateway {
		store traced {
			dir %[4]s
		}
		api_key ingest %[5]s {
			scope ingest
		}
		%[6]s
	}
}
http://site:%[7]s {
	bind 127.0.0.1
	webhook_ingest /events {
		%[8]s
	}
	respond 404
}
%[9]s
`, s.addresses["admin"], s.path("storage"), c.global, s.path(c.store), ingestKey, c.settings, s.port("site"), c.ingest, strings.ReplaceAll(c.sites, "{site2}", s.port("site2")))
	if !strings.HasPrefix(c.global, "log ") {
		text = strings.Replace(text, "{\n", "{\n\tlog {\n\t\toutput discard\n\t}\n", 1)
	}
	doc, err := adapt(text)
	if err != nil {
		s.t.Fatal(err)
	}
	if c.edit == nil {
		return doc
	}
	var members map[string]any
	if err := json.Unmarshal(doc, &members); err != nil {
		s.t.Fatal(err)
	}
	c.edit(members)
	if doc, err = json.Marshal(members); err != nil {
		s.t.Fatal(err)
	}
	return doc
}

// load starts Caddy with a configuration, or reloads it.
func (s *server) load(c config) {
	s.t.Helper()
	if err := s.tryLoad(c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) tryLoad(c config) error {
	s.t.Helper()
	before := maps.Clone(s.addresses)
	s.move()
	err := caddy.Load(s.adapted(c), true)
	if err != nil {
		s.addresses = before
	}
	return err
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Those to the site are given its key and a content type
// unless header says otherwise; an empty value there removes a header.
func (s *server) do(method, url string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return answer{}, err
	}
	if strings.HasPrefix(url, "http://site") {
		req.Header.Set("Authorization", "Bearer "+ingestKey)
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

// publish posts a body to /events.
func (s *server) publish(body string, header ...string) answer {
	s.t.Helper()
	a, err := s.do(http.MethodPost, "http://site/events", strings.NewReader(body), header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// admin asks the admin API. On a reload Caddy drops connections that the old
// server has not read from yet; they are made again.
func (s *server) admin(method, path string) answer {
	s.t.Helper()
	a, err := s.do(method, "http://admin"+path, nil)
	for errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		a, err = s.do(method, "http://admin"+path, nil)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// wantAnswer publishes a body and compares status and body of the answer.
func (s *server) wantAnswer(body string, status int, want string) {
	s.t.Helper()
	if got := s.publish(body); got.status != status || strings.TrimSuffix(got.body, "\n") != want {
		s.t.Errorf("%s: got %d %s, want %d %s", body, got.status, got.body, status, want)
	}
}

// webhookTo is the settings of a webhook that is never reached: its attempts
// are refused by the address guard and its deliveries wait for a retry.
func webhookTo(name, events string, lines ...string) string {
	return fmt.Sprintf("webhook %s {\nproject *\nurl https://receiver.invalid/%s\nevents %s\nretry 1d\n%s\n}\n",
		name, name, events, strings.Join(lines, "\n"))
}
