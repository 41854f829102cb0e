//go:build unix

package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// tightListener gives connections that hold little of what is not read.
type tightListener struct{ net.Listener }

func (l tightListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// A visitor who reads nothing of a live log must not keep a server from stopping.
func TestStreamThatIsNotReadEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	id := w.create(nil)
	for i := range 60 {
		w.publish(fmt.Sprintf(`{"id":"evt_%d","type":"project.created","project_id":"acme","data":{"id":"acme"}}`, i))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: w.dash, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(tightListener{ln}) }()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
		return errors.Join(err, failed)
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	token, err := w.gw.SignIn(t.Context(), netip.MustParseAddr("203.0.113.9"), acmeKey)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /webhooks/webhook/%s/log/stream HTTP/1.1\r\nHost: x\r\nCookie: webhook_session=%s\r\n\r\n", id, token)
	time.Sleep(time.Second)
	w.dash.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("the server cannot stop: %v", err)
		_ = server.Close()
	}
}
