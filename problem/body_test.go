package problem_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
)

func refusing(t *testing.T) net.Conn {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem.LeaveBody(w, r)
		problem.Write(w, problem.New(problem.Unauthorized, "Send a key."))
	}))
	t.Cleanup(site.Close)
	c, err := net.Dial("tcp", site.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func wantRefused(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "Send a key.") {
		t.Errorf("answer %d %q, %v", res.StatusCode, body, err)
	}
	return res
}

func TestClientsThatSendEverythingFirstSeeTheAnswer(t *testing.T) {
	for _, connection := range []string{"keep-alive", "close"} {
		c := refusing(t)
		const size = 5 << 20
		if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n%s",
			connection, size, strings.Repeat("x", size)); err != nil {
			t.Errorf("%s: %v", connection, err)
		}
		wantRefused(t, c)
	}
}

func TestClientsThatAskFirstAreToldAtOnce(t *testing.T) {
	c := refusing(t)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
	if res := wantRefused(t, c); !res.Close {
		t.Error("the connection stays open, though the body may still be sent")
	}
}

func TestBodiesThatNeverComeAreNotWaitedFor(t *testing.T) {
	c := refusing(t)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nx")
	wantRefused(t, c)
}
