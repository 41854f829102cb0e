package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

// answer serves one request with a fixed text and closes.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		if _, ok := readRequest(c); ok {
			_, _ = io.WriteString(c, text) // the client may have gone
		}
	}
}

func TestRequestArrivesAsItWasGiven(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	got := make(chan string, 1)
	address := rawServer(t, func(c net.Conn) {
		request, _ := readRequest(c)
		got <- request
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	})
	e := mustNew(t, local())
	r := post(t, e, "http://"+address+"/hook?x=1")
	if r.status != 200 || r.body != "hi" {
		t.Fatalf("got %d %q (%v)", r.status, r.body, r.err)
	}
	want := "POST /hook?x=1 HTTP/1.1\r\nHost: " + address + "\r\nContent-Length: 14\r\n" +
		"Authorization: Bearer header-secret\r\n\r\n" + `{"id":"evt_1"}`
	if request := <-got; request != want {
		t.Errorf("got\n%s\nwant\n%s", request, want)
	}
	if r.trace.RemoteIP != "127.0.0.1" || r.trace.SourceIP != "127.0.0.1" || r.trace.Phase != egress.PhaseDone {
		t.Errorf("trace %+v", r.trace)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	e := mustNew(t, local())
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Errorf("%d was followed", status)
			}
			w.Header().Set("Location", "/next")
			w.Header().Set("Set-Cookie", "a=b")
			w.WriteHeader(status)
			if len(r.Cookies()) > 0 {
				t.Error("a cookie came back")
			}
		})
		for range 2 {
			if r := post(t, e, s.URL+"/"); r.status != status {
				t.Errorf("got %d, want %d (%v)", r.status, status, r.err)
			}
		}
	}
}

func TestCompressedResponsesAreNotInflated(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(make([]byte, 1<<20)) // a buffer does not fail
	_ = w.Close()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("accept-encoding %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes()) // the client may have gone
	})
	r := post(t, mustNew(t, local()), s.URL)
	if r.body != packed.String() || r.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %d bytes, content-encoding %q; want %d bytes as sent", len(r.body), r.header.Get("Content-Encoding"), packed.Len())
	}
}

func TestResponseHeadersAreBounded(t *testing.T) {
	floods := map[string]string{
		"one long header":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10),
		"many headers":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: path-secret\r\n", 6000),
		"interim answers":  strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 4000),
		"long status line": "HTTP/1.1 200 " + strings.Repeat("x", 70<<10),
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, flood) // until the client gives up
				_, _ = io.Copy(io.Discard, c)   // keeps the connection open
			})
			post(t, mustNew(t, local()), "http://"+address).want(t, webhook.HeadersTooLarge, false)
		})
	}
	t.Run("just below", func(t *testing.T) {
		address := rawServer(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "+strings.Repeat("x", 60<<10)+"\r\n\r\n"))
		if r := post(t, mustNew(t, local()), "http://"+address); r.status != 200 {
			t.Errorf("got %d (%v)", r.status, r.err)
		}
	})
}

func TestBadResponsesAreTold(t *testing.T) {
	for text, want := range map[string]webhook.Outcome{
		"SSH-2.0-OpenSSH_9.6 path-secret\r\n":                                webhook.BadResponse,
		"HTTP/1.1 200 OK\r\npath-secret\r\n\r\n":                             webhook.BadResponse,
		"HTTP/1.1 200 OK\r\nContent-Length: path-secret\r\n\r\n":             webhook.BadResponse,
		"POST /path-secret HTTP/1.1\r\nAuthorization: header-secret\r\n\r\n": webhook.BadResponse,
		"net/http: server response headers exceeded 65536 bytes; aborted":    webhook.BadResponse,
		"HTTP/1.1 2 server response headers exceeded 65536 bytes; aborted\n": webhook.BadResponse,
		"HTTP/1.1 200 OK\r\nX: y\r\n":                                        webhook.Reset,
		"HTTP/1.1 200 OK\r\nX: y":                                            webhook.Reset,
		"HTTP/1.1 200 OK\r\nX: y\r\nX-Cut":                                   webhook.Reset,
		"HTTP/1.1 200 OK\r\npath-secret\r\n":                                 webhook.BadResponse,
		"HTTP/1.1 200 OK\r\npath-secret\r\nX-Cut":                            webhook.BadResponse,
		"HTTP/1.1 20": webhook.BadResponse,
		"":            webhook.Reset,
	} {
		address := rawServer(t, answer(text))
		r := post(t, mustNew(t, local()), "http://"+address+"/path-secret")
		if r.outcome != want || r.fault {
			t.Errorf("%q: got %q, fault %v; want %q (%v)", text, r.outcome, r.fault, want, r.err)
		}
	}
}

func TestStatusesPassAsTheyAre(t *testing.T) {
	for line, want := range map[string]int{
		"101 Switching Protocols": 101, "099 Low": 99, "299 Fine": 299, "999 High": 999, "204 No Content": 204,
	} {
		address := rawServer(t, answer("HTTP/1.1 "+line+"\r\nContent-Length: 0\r\n\r\n"))
		if r := post(t, mustNew(t, local()), "http://"+address); r.status != want {
			t.Errorf("%s: got %d (%v)", line, r.status, r.err)
		}
	}
}

func TestDeadlineCoversEverythingUpToTheHeaders(t *testing.T) {
	silence := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	drip := func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n") // the rest never comes
		_, _ = io.Copy(io.Discard, c)
	}
	for name, c := range map[string]struct {
		scheme string
		serve  func(net.Conn)
		phase  egress.Phase
	}{
		"no answer":    {"http", silence, egress.PhaseRequest},
		"half headers": {"http", drip, egress.PhaseResponse},
		"no handshake": {"https", silence, egress.PhaseTLS},
	} {
		t.Run(name, func(t *testing.T) {
			address := rawServer(t, c.serve)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			r := postBy(ctx, t, mustNew(t, local()).Transport(project, hook), c.scheme+"://"+address)
			r.want(t, webhook.Timeout, false)
			if r.trace.Phase != c.phase {
				t.Errorf("phase %v, want %v", r.trace.Phase, c.phase)
			}
		})
	}
}

func TestShutdownUsesUpNoAttempt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := rawServer(t, func(c net.Conn) {
		readRequest(c)
		cancel()
		_, _ = io.Copy(io.Discard, c) // until the client goes
	})
	r := postBy(ctx, t, mustNew(t, local()).Transport(project, hook), "http://"+address)
	if !r.fault {
		t.Errorf("no gateway fault: %v", r.err)
	}
}

func TestConnectFailuresAreTold(t *testing.T) {
	e := mustNew(t, local())
	address := closedPort(t)
	r := post(t, e, "http://"+address)
	r.want(t, webhook.Connect, false)
	if _, port, _ := net.SplitHostPort(address); strings.Contains(r.text, "refused") || strings.Contains(r.text, port) {
		t.Errorf("the text tells of a port that is not public: %q", r.text)
	}
}

func TestPlainHTTPNeedsToBeAllowed(t *testing.T) {
	s := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	cfg := local()
	cfg.AllowHTTP = false
	post(t, mustNew(t, cfg), s.URL).want(t, webhook.BlockedAddress, false)
}

func TestHeaderThatCannotBeSentIsTold(t *testing.T) {
	s := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	e := mustNew(t, local())
	for _, r := range []*egress.Request{
		request(t, s.URL, webhook.Header{Name: "X-A", Value: "header-secret\r\nX-B: 1"}),
		request(t, s.URL, webhook.Header{Name: "X-A: 1\r\nX-B", Value: "header-secret"}),
		request(t, s.URL, webhook.Header{Name: "", Value: "header-secret"}),
		{URL: &url.URL{Scheme: "http", Host: "a\r\nX-B: path-secret"}},
	} {
		send(t.Context(), t, e.Transport(project, hook), r).want(t, webhook.Panicked, false)
	}
}

// tlsServer returns a TLS server and a Config that trusts it.
func tlsServer(t *testing.T, change func(*httptest.Server)) (*httptest.Server, egress.Config) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
		if r.TLS != nil {
			w.Header().Set("Resumed", fmt.Sprint(r.TLS.DidResume))
		}
	}))
	s.Config.ErrorLog = quiet
	if change != nil {
		change(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := local()
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(s.Certificate())
	return s, cfg
}

func TestCertificatesAreVerified(t *testing.T) {
	s, trusting := tlsServer(t, nil)
	distrusting := local()
	post(t, mustNew(t, distrusting), s.URL).want(t, webhook.TLS, false)

	e := mustNew(t, trusting)
	if r := post(t, e, s.URL); r.status != 200 {
		t.Errorf("got %d (%v), want 200", r.status, r.err)
	}
	// The certificate is for 127.0.0.1 and example.com, not for localhost.
	post(t, e, "https://localhost:"+portOf(t, s.URL)).want(t, webhook.TLS, false)
}

func TestTheNameInTheURLIsVerified(t *testing.T) {
	s, cfg := tlsServer(t, nil)
	names := newNameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })
	cfg.Resolver = names.resolver()
	e := mustNew(t, cfg)
	port := portOf(t, s.URL)
	for _, host := range []string{"example.com", "Example.COM", "example.com."} {
		if r := post(t, e, "https://"+host+":"+port); r.status != 200 {
			t.Errorf("%s: got %d (%v), want 200", host, r.status, r.err)
		}
	}
	post(t, e, "https://example.org:"+port).want(t, webhook.TLS, false)
}

func TestHTTP2IsNotSpoken(t *testing.T) {
	s, cfg := tlsServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true })
	if r := post(t, mustNew(t, cfg), s.URL); r.header.Get("Proto") != "HTTP/1.1" {
		t.Errorf("spoke %q (%v)", r.header.Get("Proto"), r.err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s, cfg := tlsServer(t, func(s *httptest.Server) {
		s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	})
	post(t, mustNew(t, cfg), s.URL).want(t, webhook.TLS, false)
}

func TestTLSSessionsAreResumed(t *testing.T) {
	s, cfg := tlsServer(t, func(s *httptest.Server) { s.Config.SetKeepAlivesEnabled(false) })
	e := mustNew(t, cfg)
	post(t, e, s.URL)
	if r := post(t, e, s.URL); r.header.Get("Resumed") != "true" {
		t.Errorf("the second handshake was a full one (%v)", r.err)
	}
}

func TestClientCertificateThatIsMissingIsATLSFailure(t *testing.T) {
	s, cfg := tlsServer(t, func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} })
	post(t, mustNew(t, cfg), s.URL).want(t, webhook.TLS, false)
}

func TestPlainServerBehindHTTPSIsATLSFailure(t *testing.T) {
	s := server(t, ok)
	post(t, mustNew(t, local()), strings.Replace(s.URL, "http:", "https:", 1)).want(t, webhook.TLS, false)
}

// countConns makes s count the connections it accepts.
func countConns(s *httptest.Server) *atomic.Int32 {
	var n atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
	return &n
}

func TestConnectionsAreReusedButNotAcrossRules(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	conns := countConns(s)
	s.Start()
	t.Cleanup(s.Close)
	cfg := local()
	cfg.Allow = []egress.Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Projects: []string{"insider", "other"}}}
	e := mustNew(t, cfg)
	try := func(project string) result {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return postBy(ctx, t, e.Transport(project, hook), s.URL)
	}
	for _, project := range []string{"insider", "insider", "other"} {
		if r := try(project); r.status != 200 {
			t.Fatalf("%s: got %d (%v)", project, r.status, r.err)
		}
	}
	if got := conns.Load(); got != 1 {
		t.Errorf("%d connections for projects with the same rules, want 1", got)
	}
	try("outsider").want(t, webhook.BlockedAddress, false)
}

func TestCloseKeepsNothingAndBreaksNothing(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	conns := countConns(s)
	s.Start()
	t.Cleanup(s.Close)
	e := mustNew(t, local())
	post(t, e, s.URL)
	e.Close()
	e.Close()
	for range 2 {
		if r := post(t, e, s.URL); r.status != 200 {
			t.Fatalf("after Close: got %d (%v)", r.status, r.err)
		}
	}
	if got := conns.Load(); got != 3 {
		t.Errorf("%d connections, want 3: none kept", got)
	}
}

func TestClassifyForeignErrors(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  webhook.Outcome
		fault bool
	}{
		{nil, webhook.Success, false},
		{context.Canceled, webhook.Timeout, true},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), webhook.Timeout, false},
		{os.ErrDeadlineExceeded, webhook.Reset, false},
		{errors.New("x"), webhook.Reset, false},
		{syscall.ECONNRESET, webhook.Reset, false},
	} {
		if outcome, _, fault := egress.Classify(c.err); outcome != c.want || fault != c.fault {
			t.Errorf("%v: got %q, %v; want %q, %v", c.err, outcome, fault, c.want, c.fault)
		}
	}
}
