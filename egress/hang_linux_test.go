package egress_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tengineai/webhook-gateway/webhook"
)

// blackHole makes connects to an address hang: the queue of a listener that
// never accepts is full.
func blackHole(t *testing.T, ip [4]byte, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: ip, Port: port}); err != nil {
		t.Skipf("bind: %v", err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(net.IP(ip[:]).String(), strconv.Itoa(port))
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the listener's queue cannot be filled here")
}

func TestAddressThatHangsCostsAHeadStartOnly(t *testing.T) {
	receiver := rawServerOn(t, "127.0.0.7:0", answer("HTTP/1.1 204 No Content\r\n\r\n"))
	_, portText, _ := net.SplitHostPort(receiver)
	port, _ := strconv.Atoi(portText)
	blackHole(t, [4]byte{127, 0, 0, 8}, port)
	names := newNameServer(t, func(name string, _ int) []string {
		if name == "hang.example.com." {
			return []string{"127.0.0.8"}
		}
		return []string{"127.0.0.8", "127.0.0.7"}
	})
	cfg := local()
	cfg.Resolver = names.resolver()
	e := mustNew(t, cfg)
	if r := post(t, e, "http://two.example.com:"+portText+"/"); r.status != 204 || r.trace.RemoteIP != "127.0.0.7" {
		t.Errorf("got %d from %s (%v), want 204 from 127.0.0.7", r.status, r.trace.RemoteIP, r.err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	r := postBy(ctx, t, e.Transport(project, hook), "http://hang.example.com:"+portText+"/")
	r.want(t, webhook.Timeout, false)
}
