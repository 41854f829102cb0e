package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// promptExit keeps the race detector from waiting a second before the exit.
var promptExit = []string{"GORACE=atexit_sleep_ms=0"}

// TestStopWhileAttemptsHang sends SIGTERM while receivers do not answer and a
// publisher is slow. The process ends in time, the publisher is told to come
// again, and no attempt is used up.
func TestStopWhileAttemptsHang(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	hang := make(chan struct{})
	receiver.Handle(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	gateway := gatewaytest.Start(t, gatewaytest.Config{
		Caddyfile: gatewaytest.Caddyfile(oneWebhook(receiver.URL(), "*", "timeout 30s")),
		Env:       promptExit,
	})
	for i := range 3 {
		post(t, gateway, fmt.Sprintf(`{"id":"e%d","type":"project.created","data":{"id":"p"}}`, i), fmt.Sprintf(`{"id":"e%d","deliveries":1,"duplicate":false}`, i))
	}
	receiver.Await(t, 3)
	slow := startSlowRequest(t, gateway)

	stopped := make(chan time.Duration, 1)
	go func() { stopped <- gateway.Stop(t) }()
	awaitRefused(t, gateway)
	if got := askStatus(t, gateway); got.Status != http.StatusServiceUnavailable {
		t.Errorf("status during the stop: %d %s, want 503", got.Status, got.Body)
	}
	if status, retryAfter := slow.finish(t); status != http.StatusServiceUnavailable || retryAfter != "1" {
		t.Errorf("request during the stop: %d, Retry-After %q; want 503 and 1", status, retryAfter)
	}
	if took := <-stopped; took >= 4*time.Second {
		t.Errorf("the process took %v to end, want less than 4s", took)
	}
	close(hang)
	receiver.Handle(nil)

	gateway.Restart(t)
	for _, req := range receiver.Await(t, 6)[3:] {
		if n := req.Header.Get("X-Tengine-Attempt"); n != "1" {
			t.Errorf("after the restart %s has attempt %s, want 1 again", req.Header.Get("Webhook-Id"), n)
		}
	}
	awaitNothingPending(t, gateway)
	post(t, gateway, slowEvent, `{"id":"slow","deliveries":1,"duplicate":false}`)
}

// TestEventsDuringAStopAreNotLost publishes until the process has ended: what
// was acknowledged arrives, before or after the restart.
func TestEventsDuringAStopAreNotLost(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := gatewaytest.Start(t, gatewaytest.Config{
		Caddyfile: gatewaytest.Caddyfile(oneWebhook(receiver.URL(), "*")),
		Env:       promptExit,
	})
	p := &crashPublisher{gateway: gateway}
	for range 3 {
		p.publishWhile(func() {
			time.Sleep(300 * time.Millisecond) // some load before the stop
			if took := gateway.Stop(t); took >= 4*time.Second {
				t.Errorf("the process took %v to end, want less than 4s", took)
			}
		})
		gateway.Restart(t)
	}
	awaitNothingPending(t, gateway)
	got := arrivals(receiver)
	n := 0
	p.acknowledged.Range(func(id, _ any) bool {
		n++
		if len(got[id.(string)]) != 1 {
			t.Errorf("acknowledged event %s arrived at %d webhooks, want 1", id, len(got[id.(string)]))
		}
		return true
	})
	for id, deliveries := range got {
		for _, a := range deliveries {
			if a.times != 1 {
				t.Errorf("event %s arrived %d times", id, a.times)
			}
		}
	}
	t.Logf("%d events over 3 stops", n)
}

// TestStopDuringAReload asks the process to end while it loads a configuration.
func TestStopDuringAReload(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	settings := oneWebhook(receiver.URL(), "*")
	// Caddy races with itself here; a race of ours is found in the log.
	env := []string{promptExit[0] + " exitcode=0"}
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile(settings), Env: env})
	const rounds = 5
	for i := range rounds {
		post(t, gateway, fmt.Sprintf(`{"id":"e%d","type":"project.created","data":{"id":"p"}}`, i), fmt.Sprintf(`{"id":"e%d","deliveries":1,"duplicate":false}`, i))
		reloaded := make(chan struct{})
		go func() {
			defer close(reloaded)
			for n := range 20 {
				if gateway.Reload(gatewaytest.Caddyfile(fmt.Sprintf("%s\nworkers %d", settings, n+1))) != nil {
					return // the process has ended, or is about to
				}
			}
		}()
		time.Sleep(time.Duration(i) * 20 * time.Millisecond) // another moment each time
		if took := gateway.Stop(t); took >= 4*time.Second {
			t.Errorf("the process took %v to end, want less than 4s", took)
		}
		<-reloaded
		gateway.Restart(t)
	}
	if strings.Contains(gateway.Log(), "not closed in order") {
		t.Error("the store was left open at an exit")
	}
	awaitNothingPending(t, gateway)
	if n := len(receiver.Requests()); n != rounds {
		t.Errorf("%d deliveries arrived, want %d", n, rounds)
	}
}

// slowEvent is what a slow publisher sends.
const slowEvent = `{"id":"slow","type":"project.created","data":{"id":"p"}}`

// slowRequest is a request whose body is still on its way.
type slowRequest struct {
	conn net.Conn
	rest string
}

func startSlowRequest(t *testing.T, g *gatewaytest.Gateway) *slowRequest {
	t.Helper()
	conn, err := net.Dial("tcp", siteAddress(g))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	head := fmt.Sprintf("POST /events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		siteAddress(g), gatewaytest.IngestKey, len(slowEvent))
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	// The gateway asks for the body: it has judged everything before it.
	if got, _ := readAnswer(t, conn); got != http.StatusContinue {
		t.Fatalf("got %d, want 100", got)
	}
	if _, err := io.WriteString(conn, slowEvent[:10]); err != nil {
		t.Fatal(err)
	}
	return &slowRequest{conn: conn, rest: slowEvent[10:]}
}

// finish sends the rest and returns the answer's status and Retry-After.
func (s *slowRequest) finish(t *testing.T) (status int, retryAfter string) {
	t.Helper()
	if _, err := io.WriteString(s.conn, s.rest); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, s.conn)
}

func readAnswer(t *testing.T, conn net.Conn) (status int, retryAfter string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After")
}

// awaitRefused waits until the site takes no new connections.
func awaitRefused(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", siteAddress(g))
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the site goes on taking connections")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func siteAddress(g *gatewaytest.Gateway) string {
	return strings.TrimPrefix(g.URL(""), "http://")
}
