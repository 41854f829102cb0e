package steady

import (
	"context"
	"net"
	"strconv"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/google/go-cmp/cmp"
)

func TestPlainSitesOfTheGatewayAreSteady(t *testing.T) {
	listen := func() []string {
		return []string{":8080", "127.0.0.1:8080", "localhost:8080-8082", "[::1]:80", "tcp4/127.0.0.1:81", "unix//run/a.sock", "steady/:82", "udp/:83"}
	}
	for _, c := range []struct {
		name   string
		server *caddyhttp.Server
		want   []string
	}{
		{"plain", &caddyhttp.Server{Listen: listen()}, []string{
			"steady/:8080", "steady/127.0.0.1:8080", "steady/localhost:8080-8082", "steady/[::1]:80",
			"tcp4/127.0.0.1:81", "unix//run/a.sock", "steady/:82", "udp/:83",
		}},
		{"TLS", &caddyhttp.Server{
			Listen:          listen(),
			TLSConnPolicies: caddytls.ConnectionPolicies{{}},
		}, listen()},
	} {
		parent := context.WithValue(t.Context(), caddyhttp.ServerCtxKey, c.server)
		ctx, cancel := caddy.NewContext(caddy.Context{Context: parent})
		Use(ctx)
		cancel()
		if diff := cmp.Diff(c.want, c.server.Listen); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	Use(ctx) // a handler that belongs to no server
}

// An address that the system spells in another way is one socket all the same.
func TestSteadySocketsAreSharedByTheirConfiguredAddress(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	_ = free.Close()
	open := func(host, port string) *share {
		t.Helper()
		ln, err := listen(t.Context(), Network, host, port, 0, net.ListenConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.(net.Listener).Close() })
		return ln.(*share)
	}
	if first, second := open("localhost", port), open("localhost", port); first.socket != second.socket {
		t.Error("localhost: each configuration has a socket of its own")
	}
	if first, second := open("127.0.0.1", "0"), open("127.0.0.1", "0"); first.socket == second.socket {
		t.Error("a port that the system chooses is shared")
	}
}
