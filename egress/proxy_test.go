package egress_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

// tunnels is an HTTP proxy that serves CONNECT.
type tunnels struct {
	address string

	// refuse, if not empty, answers every CONNECT.
	refuse string

	header string // lines of the answer to CONNECT, each with its end

	mu     sync.Mutex
	asked  []string // request targets
	auth   []string
	others []string // methods that are not CONNECT
}

func newProxy(t *testing.T, refuse string) *tunnels {
	p := &tunnels{refuse: refuse}
	p.address = rawServer(t, p.serve)
	return p
}

func (p *tunnels) serve(c net.Conn) {
	reader := bufio.NewReader(c)
	req, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Host)
	p.auth = append(p.auth, req.Header.Get("Proxy-Authorization"))
	if req.Method != http.MethodConnect {
		p.others = append(p.others, req.Method)
	}
	p.mu.Unlock()
	if p.refuse != "" {
		_, _ = io.WriteString(c, p.refuse) // the client may have gone
		return
	}
	receiver, err := net.Dial("tcp", req.Host)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer receiver.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n"+p.header+"\r\n")
	go func() { // ends when either side closes
		_, _ = io.Copy(receiver, reader)
		_ = receiver.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, receiver)
}

func (p *tunnels) config(cfg egress.Config) egress.Config {
	cfg.Proxy = &url.URL{Scheme: "http", Host: p.address, User: url.UserPassword("user", "proxy-secret")}
	cfg.Advertise = addrs("54.123.45.67")
	return cfg
}

func TestProxyIsAskedForTheCheckedAddress(t *testing.T) {
	s, cfg := tlsServer(t, nil)
	plain := server(t, ok)
	names := newNameServer(t, func(string, int) []string { return []string{"169.254.169.254", "127.0.0.1"} })
	cfg.Resolver = names.resolver()
	p := newProxy(t, "")
	e := mustNew(t, p.config(cfg))

	tlsPort, plainPort := portOf(t, s.URL), portOf(t, plain.URL)
	for _, url := range []string{"https://example.com:" + tlsPort, "http://example.com:" + plainPort} {
		for range 2 { // the second one reuses the tunnel
			r := post(t, e, url)
			if r.status != 200 || r.trace.RemoteIP != "127.0.0.1" || r.trace.SourceIP != "" {
				t.Errorf("%s: got %d, %+v (%v)", url, r.status, r.trace, r.err)
			}
		}
	}
	if want := []string{"127.0.0.1:" + tlsPort, "127.0.0.1:" + plainPort}; !slices.Equal(p.asked, want) {
		t.Errorf("the proxy was asked for %q, want %q", p.asked, want)
	}
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:proxy-secret")); p.auth[0] != want {
		t.Errorf("credentials %q, want %q", p.auth[0], want)
	}
	if p.others != nil {
		t.Errorf("the proxy was asked with %q", p.others)
	}
	post(t, e, "https://example.org:"+tlsPort).want(t, webhook.TLS, false)
}

func TestProxyDoesNotOpenWhatTheGuardCloses(t *testing.T) {
	p := newProxy(t, "")
	names := newNameServer(t, func(string, int) []string { return []string{"10.0.0.1", "127.0.0.1", "::1"} })
	e := mustNew(t, p.config(egress.Config{AllowHTTP: true, Resolver: names.resolver()}))
	for _, host := range []string{"127.0.0.1", "localhost", "inside.example.com", "10.1.2.3", "169.254.169.254", p.address} {
		post(t, e, "http://"+host+"/").want(t, webhook.BlockedAddress, false)
	}
	if p.asked != nil {
		t.Errorf("the proxy was asked for %q", p.asked)
	}
}

func TestProxyFailures(t *testing.T) {
	for name, c := range map[string]struct {
		refuse string
		want   webhook.Outcome
		fault  bool
	}{
		"wants other credentials":  {"HTTP/1.1 407 proxy-secret\r\nX: cHJveHk\r\n\r\n", webhook.Proxy, true},
		"cannot reach":             {"HTTP/1.1 502 Bad Gateway\r\n\r\n", webhook.Proxy, false},
		"unavailable":              {"HTTP/1.1 503 Service Unavailable\r\n\r\n", webhook.Proxy, false},
		"forbids":                  {"HTTP/1.1 403 Forbidden\r\n\r\n", webhook.Proxy, false},
		"speaks something else":    {"220 smtp ready proxy-secret\r\n", webhook.Proxy, true},
		"floods":                   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10000), webhook.Proxy, true},
		"speaks for the receiver":  {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", webhook.Proxy, true},
		"closes when it should do": {"HTTP/1.1 200 OK\r\n\r\n", webhook.Reset, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := mustNew(t, newProxy(t, c.refuse).config(local()))
			r := post(t, e, "http://127.0.0.1:9/")
			if name == "closes when it should do" && r.outcome == webhook.Reset {
				return
			}
			r.want(t, c.want, c.fault)
		})
	}
	for _, framing := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		for status, want := range map[string]struct {
			outcome webhook.Outcome
			fault   bool
		}{"407": {webhook.Proxy, true}, "502": {webhook.Proxy, false}} {
			t.Run(status+" and no body after "+framing, func(t *testing.T) {
				p := &tunnels{address: rawServer(t, func(c net.Conn) {
					_, _ = io.WriteString(c, "HTTP/1.1 "+status+" No\r\n"+framing+"\r\n\r\n")
					_, _ = io.Copy(io.Discard, c)
				})}
				post(t, mustNew(t, p.config(local())), "http://127.0.0.1:9/").want(t, want.outcome, want.fault)
			})
		}
		// A tunnel has no length, whatever a proxy says (RFC 9110 section 9.3.6).
		t.Run("200 with "+framing, func(t *testing.T) {
			s := server(t, ok)
			p := newProxy(t, "")
			p.header = framing + "\r\n"
			if r := post(t, mustNew(t, p.config(local())), s.URL); r.status != 200 {
				t.Errorf("got %d (%v)", r.status, r.err)
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		p := &tunnels{address: closedPort(t)}
		r := post(t, mustNew(t, p.config(local())), "http://127.0.0.1:9/")
		r.want(t, webhook.Proxy, true)
		if strings.Contains(r.text, p.address) {
			t.Errorf("the text tells of the proxy: %q", r.text)
		}
	})
	t.Run("receiver refuses", func(t *testing.T) {
		r := post(t, mustNew(t, newProxy(t, "").config(local())), "http://"+closedPort(t))
		r.want(t, webhook.Proxy, false)
	})
	t.Run("hangs over the receiver", func(t *testing.T) {
		p := &tunnels{address: rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		e := mustNew(t, p.config(local()))
		postBy(ctx, t, e.Transport(project, hook), "http://127.0.0.1:9/").want(t, webhook.Timeout, false)
	})
}
