package dispatch_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// rawServer is a receiver that is free to break every rule of HTTP.
type rawServer struct {
	addr        string
	connections atomic.Int32
	done        chan struct{} // closed when the test ends
}

// serveRaw starts one on loopback. answer is called for each request with its
// head as it came over the wire, its body, and the connection to write to. A
// false return closes the connection.
func serveRaw(t *testing.T, answer func(s *rawServer, head, body string, c net.Conn) bool) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{addr: l.Addr().String(), done: make(chan struct{})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	t.Cleanup(func() {
		close(s.done)
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				for {
					head, body, ok := readRequest(c)
					if !ok || !answer(s, head, body, c) {
						return
					}
				}
			})
		}
	})
	return s
}

// readRequest reads one request with a Content-Length, byte by byte so that
// nothing of the next is lost.
func readRequest(c net.Conn) (head, body string, ok bool) {
	var raw []byte
	one := make([]byte, 1)
	for len(raw) < 4 || string(raw[len(raw)-4:]) != "\r\n\r\n" {
		if _, err := io.ReadFull(c, one); err != nil {
			return "", "", false
		}
		raw = append(raw, one[0])
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return "", "", false
	}
	b := make([]byte, max(0, req.ContentLength))
	if _, err := io.ReadFull(c, b); err != nil {
		return "", "", false
	}
	return string(raw), string(b), true
}

// says answers every request with the same bytes.
func says(response string) func(*rawServer, string, string, net.Conn) bool {
	return func(_ *rawServer, _, _ string, c net.Conn) bool {
		_, err := io.WriteString(c, response)
		return err == nil
	}
}

// saysAndCloses answers one request and closes the connection.
func saysAndCloses(response string) func(*rawServer, string, string, net.Conn) bool {
	return func(s *rawServer, head, body string, c net.Conn) bool {
		says(response)(s, head, body, c)
		return false
	}
}

// newEgress returns a way out to loopback.
func newEgress(t testing.TB) *egress.Egress {
	t.Helper()
	e, err := egress.New(egress.Config{
		AllowHTTP: true,
		Allow:     []egress.Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}},
		OwnPorts:  func() ([]uint16, error) { return nil, nil }, // the receivers are in this process
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// newReceiver returns the receiver of a webhook at addr.
func newReceiver(t testing.TB, addr string, headers ...webhook.Header) *dispatch.Receiver {
	t.Helper()
	sub := &webhook.Subscription{
		ID: "wh_1", ProjectID: "proj_1", URL: "http://" + addr + "/hook?x=1", Headers: headers,
	}
	s := signer.New([]webhook.Secret{{Value: testSecret}})
	r, err := dispatch.NewReceiver(sub, s, newEgress(t).Transport(sub.ProjectID, sub.ID), defaults)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send makes attempt 3 of a delivery.
func send(t testing.TB, r *dispatch.Receiver) (webhook.Attempt, dispatch.Verdict) {
	t.Helper()
	ev := newEvent("proj_1", time.Now())
	return dispatch.NewSender(nil).Send(t.Context(), r, ev, &webhook.Delivery{ID: "dlv_1", WebhookID: "wh_1"}, 3, webhook.BySchedule)
}

var (
	_ dispatch.Transport = (*egress.Transport)(nil)
	_ dispatch.Store     = queue.Store(nil)
)
