package integration_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// TestDeliveriesLeaveFromTheSourceAddresses has many webhooks and two source
// addresses, which receivers allowlist.
func TestDeliveriesLeaveFromTheSourceAddresses(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	receiver := gatewaytest.NewReceiver(t)
	var mu sync.Mutex
	seen := make(map[string]map[string]int) // addresses by path
	receiver.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			t.Errorf("remote address %q: %v", r.RemoteAddr, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[r.URL.Path] == nil {
			seen[r.URL.Path] = make(map[string]int)
		}
		seen[r.URL.Path][from.Addr().String()]++
	}))

	const webhooks, events = 24, 4
	gateway := startWith(t, egress("source 127.0.0.2 127.0.0.3")+manyWebhooks(webhooks, receiver.URL()))
	for range events / 2 {
		publishTo(t, gateway, 24)
	}
	receiver.Await(t, webhooks*events/2)
	gateway.Stop(t)
	gateway.Restart(t) // the address of a webhook outlives the process
	for range events / 2 {
		publishTo(t, gateway, 24)
	}
	receiver.Await(t, webhooks*events)
	awaitNothingPending(t, gateway)

	mu.Lock()
	defer mu.Unlock()
	used := make(map[string]int)
	for path, addresses := range seen {
		if len(addresses) != 1 {
			t.Errorf("%s saw %v, want one address for a webhook", path, addresses)
		}
		for address := range addresses {
			used[address]++
		}
	}
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, []string{"127.0.0.2", "127.0.0.3"}) {
		t.Errorf("receivers saw %v, want both source addresses and no other", used)
	}
}

// TestMissingSourceAddressIsAnError names an address that no machine has (RFC
// 5737).
func TestMissingSourceAddressIsAnError(t *testing.T) {
	t.Parallel()
	const missing = "192.0.2.77"
	out, err := runUntilItEnds(t, t.TempDir(), egress("source 127.0.0.1 "+missing))
	if err == nil || !strings.Contains(out, missing) {
		t.Errorf("start: %v, want a failure that names %s:\n%s", err, missing, out)
	}

	gateway := startWith(t, "")
	if err := gateway.Reload(gatewaytest.Caddyfile(egress("source " + missing))); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("reload: %v, want a refusal that names %s", err, missing)
	}
	publishTo(t, gateway, 0)
}

// runUntilItEnds starts a gateway that is to refuse its settings, over the store of a
// directory, and returns what it said.
func runUntilItEnds(t *testing.T, dir, settings string, env ...string) (out string, err error) {
	t.Helper()
	path := filepath.Join(dir, "Caddyfile")
	config := "{\nadmin off\nwebhook_gateway {\nstore badger {\ndir " + filepath.Join(dir, "store") + "\n}\n" + settings + "\n}\n}\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, gatewaytest.Binary(t), "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	text, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("it did not end:\n%s", text)
	}
	return string(text), err
}

// TestForwardProxyGetsTheCheckedAddress has a proxy that refuses once.
func TestForwardProxyGetsTheCheckedAddress(t *testing.T) {
	t.Parallel()
	const password = "canary-of-the-proxy-password"
	receiver := gatewaytest.NewReceiver(t)
	proxy := newConnectProxy(t, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
	byName := strings.Replace(receiver.URL(), "127.0.0.1", "localhost", 1)
	gateway := startWith(t, egress("advertise 192.0.2.1", "proxy http://user:"+password+"@"+proxy.address)+manyWebhooks(1, byName))

	const events = 20
	for range events {
		publishTo(t, gateway, 1)
	}
	for _, req := range receiver.Await(t, events) {
		if got := req.Header.Get("X-Tengine-Attempt"); got != "1" {
			t.Errorf("attempt %s arrived: that the proxy refuses us uses up no attempt", got)
		}
		if _, ok := req.Header["Proxy-Authorization"]; ok {
			t.Error("the receiver got the proxy's credentials")
		}
	}
	awaitNothingPending(t, gateway)
	if n := len(receiver.Requests()); n != events {
		t.Errorf("%d requests arrived, want %d", n, events)
	}

	asked, credentials := proxy.seen()
	if want := []string{strings.TrimSuffix(strings.TrimPrefix(receiver.URL(), "http://"), "/")}; !slices.Equal(asked, want) {
		t.Errorf("the proxy was asked for %q, want only %q", asked, want)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	if want := []string{"Basic " + basic}; !slices.Equal(credentials, want) {
		t.Errorf("the proxy got the credentials %q, want %q", credentials, want)
	}
	if !strings.Contains(gateway.Log(), "credentials (407)") {
		t.Error("the log does not tell that the proxy refuses the credentials")
	}
	for _, secret := range []string{password, basic} {
		if strings.Contains(gateway.Log(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := gatewaytest.NewReceiver(t)
	receiver := gatewaytest.NewReceiver(t)
	receiver.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusFound
		if r.URL.Path == "/w1" {
			status = http.StatusTemporaryRedirect // which a client would repeat with its body
		}
		http.Redirect(w, r, elsewhere.URL(), status)
	}))
	gateway := startWith(t, "retry off\n"+egress()+manyWebhooks(2, receiver.URL()))
	publishTo(t, gateway, 2)
	awaitNothingPending(t, gateway)

	if got := attemptsTotal(t, gateway, "http_3xx"); got != 2 {
		t.Errorf("%d attempts with outcome http_3xx, want 2", got)
	}
	if got := status(t, gateway).Deliveries["failed"]; got != 2 {
		t.Errorf("%d deliveries failed, want 2", got)
	}
	if n := len(elsewhere.Requests()); n != 0 {
		t.Errorf("%d requests were redirected", n)
	}
}

// TestHangingReceiverDelaysOnlyItself has a webhook with twenty attempts that
// hang until their timeout.
func TestHangingReceiverDelaysOnlyItself(t *testing.T) {
	t.Parallel()
	const events = 20
	receiver := gatewaytest.NewReceiver(t)
	receiver.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/w0" {
			<-r.Context().Done()
		}
	}))
	gateway := startWith(t, "timeout 30s\nconcurrency 20\ndrain_timeout 100ms\n"+egress()+manyWebhooks(2, receiver.URL()))
	byPath := func(requests []gatewaytest.Request) map[string]int {
		n := make(map[string]int)
		for _, req := range requests {
			n[req.Path]++
		}
		return n
	}

	for range events {
		publishTo(t, gateway, 2)
	}
	if got, want := byPath(receiver.Await(t, 2*events)), map[string]int{"/w0": events, "/w1": events}; !maps.Equal(got, want) {
		t.Fatalf("arrived: %v, want %v", got, want)
	}
	began := time.Now()
	for range events {
		publishTo(t, gateway, 2)
	}
	if got, want := byPath(receiver.Await(t, 3*events)), map[string]int{"/w0": events, "/w1": 2 * events}; !maps.Equal(got, want) {
		t.Errorf("arrived while all attempts of a webhook hang: %v, want %v", got, want)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("%d deliveries beside a hanging webhook took %v", events, took)
	}
}

// TestReceiverThatClosesIdleConnections closes each connection after its answer
// without having said so.
func TestReceiverThatClosesIdleConnections(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // the gateway may have gone
		conn.Close()
	}))
	gateway := startWith(t, "concurrency 4\n"+egress()+manyWebhooks(1, receiver.URL()))

	const events = 200
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range events / 4 {
				publishTo(t, gateway, 1)
			}
		})
	}
	wg.Wait()
	awaitNothingPending(t, gateway)

	times := make(map[string]int)
	for _, req := range receiver.Requests() {
		times[req.Header.Get("X-Tengine-Delivery")]++
	}
	for delivery, n := range times {
		if n != 1 {
			t.Errorf("delivery %s arrived %d times", delivery, n)
		}
	}
	if len(times) != events {
		t.Errorf("%d deliveries arrived, want %d", len(times), events)
	}
	got := map[string]int{"success": attemptsTotal(t, gateway, "success"), "reset": attemptsTotal(t, gateway, "reset")}
	if diff := cmp.Diff(map[string]int{"success": events, "reset": 0}, got); diff != "" {
		t.Errorf("attempts (-want +got)\n%s", diff)
	}
}

// publishTo publishes an event that as many webhooks want.
func publishTo(t *testing.T, g *gatewaytest.Gateway, webhooks int) {
	t.Helper()
	answer := g.Post(t, "/events", `{"type":"project.created","data":{"id":"p"}}`)
	if want := fmt.Sprintf(`"deliveries":%d,"duplicate":false}`, webhooks); answer.Status != http.StatusAccepted || !strings.Contains(answer.Body, want) {
		t.Errorf("got %d %s, want 202 with %s", answer.Status, answer.Body, want)
	}
}

// egress is the setting of that name for receivers on loopback, with further
// lines.
func egress(lines ...string) string {
	return "egress {\nallow 127.0.0.0/8\nallow_http\n" + strings.Join(lines, "\n") + "\n}\n"
}

// manyWebhooks is the settings of n webhooks for all events, w0, w1 and so on,
// each with a path of its own, with further lines for each.
func manyWebhooks(n int, url string, lines ...string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "webhook w%d {\nproject *\nurl %sw%d\nevents *\nsecret %s\n%s\n}\n", i, url, i, testSecret, strings.Join(lines, "\n"))
	}
	return b.String()
}

// connectProxy is a forward proxy that serves CONNECT.
type connectProxy struct {
	address string

	mu          sync.Mutex
	refusals    []string // of the next requests
	asked       map[string]bool
	credentials map[string]bool
	tunnels     sync.WaitGroup
	open        []net.Conn
}

// newConnectProxy starts a proxy that answers its first requests with refusals.
// The test's end stops it.
func newConnectProxy(t *testing.T, refusals ...string) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{address: l.Addr().String(), refusals: refusals, asked: make(map[string]bool), credentials: make(map[string]bool)}
	p.tunnels.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.tunnels.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.tunnels.Wait()
	})
	return p
}

func (p *connectProxy) serve(client net.Conn) {
	defer client.Close()
	reader := bufio.NewReader(client)
	req, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	if refusal := p.note(req); refusal != "" {
		_, _ = io.WriteString(client, refusal) // a client that has gone asks again
		return
	}
	target, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer target.Close()
	p.mu.Lock()
	p.open = append(p.open, client, target)
	p.mu.Unlock()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.tunnels.Go(func() {
		_, _ = io.Copy(target, reader) // ends when either side closes
		target.Close()
	})
	_, _ = io.Copy(client, target)
}

// note records a request and returns how to refuse it, or "".
func (p *connectProxy) note(req *http.Request) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[req.RequestURI] = true
	p.credentials[req.Header.Get("Proxy-Authorization")] = true
	if req.Method != http.MethodConnect {
		return "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
	}
	if len(p.refusals) == 0 {
		return ""
	}
	refusal := p.refusals[0]
	p.refusals = p.refusals[1:]
	return refusal
}

// seen returns what the proxy was asked for and with which credentials, each
// once.
func (p *connectProxy) seen() (asked, credentials []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.asked)), slices.Sorted(maps.Keys(p.credentials))
}
