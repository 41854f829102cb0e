package egress_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// project and hook are those of tests that need no particular ones.
const (
	project = "proj_1"
	hook    = "wh_1"
)

// notOurs lets receivers of the test's own process be reached.
func notOurs() ([]uint16, error) { return nil, nil }

func allow(prefixes ...string) []egress.Allow {
	var list []egress.Allow
	for _, prefix := range prefixes {
		list = append(list, egress.Allow{Prefix: netip.MustParsePrefix(prefix)})
	}
	return list
}

// local is a Config for receivers in the test's own process.
func local() egress.Config {
	return egress.Config{Allow: allow("127.0.0.0/8", "::1/128"), AllowHTTP: true, OwnPorts: notOurs}
}

func mustNew(t testing.TB, cfg egress.Config) *egress.Egress {
	t.Helper()
	e, err := egress.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(e.Close)
	return e
}

// result is what became of one attempt.
type result struct {
	status  int
	header  http.Header
	body    string
	trace   egress.Trace
	err     error
	outcome webhook.Outcome
	text    string
	fault   bool
}

// post makes one attempt with a deadline of 5 s.
func post(t testing.TB, e *egress.Egress, url string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return postBy(ctx, t, e.Transport(project, hook), url)
}

func postBy(ctx context.Context, t testing.TB, tr *egress.Transport, url string) result {
	t.Helper()
	return send(ctx, t, tr, request(t, url, webhook.Header{Name: "Authorization", Value: "Bearer header-secret"}))
}

// request returns the request that the tests' receivers read.
func request(t testing.TB, rawURL string, header ...webhook.Header) *egress.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatalf("parse %s: %v", rawURL, err)
	}
	return &egress.Request{URL: u, Header: header, Body: []byte(`{"id":"evt_1"}`)}
}

func send(ctx context.Context, t testing.TB, tr *egress.Transport, r *egress.Request) result {
	t.Helper()
	resp, trace, err := tr.Send(ctx, r)
	got := result{trace: trace, err: err}
	got.outcome, got.text, got.fault = egress.Classify(err)
	if err != nil {
		if _, ok := errors.AsType[*egress.Error](err); !ok {
			t.Errorf("Send's error is a %T, want *egress.Error", err)
		}
		mustHideSecrets(t, err.Error(), got.text)
		return got
	}
	defer resp.Body.Close()
	got.status, got.header = resp.StatusCode, resp.Header
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // a test of the body looks at it
	got.body = string(body)
	return got
}

// mustHideSecrets fails if a text holds what no error may show.
func mustHideSecrets(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{"header-secret", "proxy-secret", "path-secret", "cHJveHk"} {
			if strings.Contains(text, secret) {
				t.Errorf("error holds %q: %s", secret, text)
			}
		}
	}
}

func (r result) want(t *testing.T, outcome webhook.Outcome, fault bool) {
	t.Helper()
	if r.outcome != outcome || r.fault != fault {
		t.Errorf("got outcome %q, gateway fault %v; want %q, %v (status %d, error %v)",
			r.outcome, r.fault, outcome, fault, r.status, r.err)
	}
}

// server runs handler on 127.0.0.1 until the test ends.
func server(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// ok answers 200 to everything.
func ok(http.ResponseWriter, *http.Request) {}

// rawServer answers each connection with serve until the test ends.
func rawServer(t testing.TB, serve func(c net.Conn)) (address string) {
	t.Helper()
	return rawServerOn(t, "127.0.0.1:0", serve)
}

func rawServerOn(t testing.TB, on string, serve func(c net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", on)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var conns sync.WaitGroup
	stopped := make(chan struct{})
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				unblock := make(chan struct{})
				defer close(unblock)
				go func() {
					select {
					case <-stopped:
						c.Close()
					case <-unblock:
					}
				}()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		close(stopped)
		l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

// readRequest reads one request of the size that post sends.
func readRequest(c net.Conn) (string, bool) {
	var got bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), `{"id":"evt_1"}`) {
		n, err := c.Read(buf)
		if err != nil {
			return got.String(), false
		}
		got.Write(buf[:n])
	}
	return got.String(), true
}

// closedPort returns an address that nothing listens on.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

func portOf(t testing.TB, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatalf("parse %s: %v", rawURL, err)
	}
	return u.Port()
}

// nameServer is a DNS server on loopback. answers gives the addresses of a name
// at its n-th query, from 0; nil is no such name.
type nameServer struct {
	conn    net.PacketConn
	answers func(name string, n int) []string

	mu      sync.Mutex
	queries map[string]int // by name, of type A
	names   []string
}

func newNameServer(t testing.TB, answers func(name string, n int) []string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s := &nameServer{conn: conn, answers: answers, queries: make(map[string]int)}
	var done sync.WaitGroup
	done.Go(s.serve)
	t.Cleanup(func() {
		conn.Close()
		done.Wait()
	})
	return s
}

// resolver returns a resolver that asks s alone.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

func (s *nameServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.names...)
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := s.reply(buf[:n]); reply != nil {
			_, _ = s.conn.WriteTo(reply, from) // the client may be gone
		}
	}
}

// Answers that are no addresses.
const (
	silent   = "silent"   // no reply at all
	servfail = "servfail" // the server's own trouble
)

func (s *nameServer) reply(query []byte) []byte {
	var msg dnsmessage.Message
	if err := msg.Unpack(query); err != nil || len(msg.Questions) != 1 {
		return nil
	}
	q := msg.Questions[0]
	name := q.Name.String()
	s.mu.Lock()
	n := s.queries[name]
	if q.Type == dnsmessage.TypeA {
		s.queries[name]++
		s.names = append(s.names, name)
	}
	s.mu.Unlock()

	msg.Response, msg.RecursionAvailable, msg.Additionals = true, true, nil
	addrs := s.answers(name, n)
	if addrs == nil {
		msg.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range addrs {
		switch text {
		case silent:
			return nil
		case servfail:
			msg.RCode = dnsmessage.RCodeServerFailure
			continue
		}
		addr := netip.MustParseAddr(text)
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			msg.Answers = append(msg.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			msg.Answers = append(msg.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	packed, err := msg.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// quiet is a log that nobody reads.
var quiet = log.New(io.Discard, "", 0)
