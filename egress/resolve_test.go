package egress_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestRebindingIsBlockedAtTheDial(t *testing.T) {
	for _, rebound := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1"} {
		t.Run(rebound, func(t *testing.T) {
			reached := 0
			receiver := server(t, func(http.ResponseWriter, *http.Request) { reached++ })
			names := newNameServer(t, func(_ string, n int) []string {
				if n == 0 {
					return []string{"127.0.0.5"} // allowed, below
				}
				return []string{rebound}
			})
			cfg := local()
			cfg.Allow, cfg.Resolver = allow("127.0.0.5/32"), names.resolver()
			e := mustNew(t, cfg)
			url := "http://rebind.example.com:" + portOf(t, receiver.URL) + "/"
			if items := e.CheckURL(project, url); items != nil {
				t.Fatalf("the URL is refused: %v", items)
			}
			// Nothing listens at 127.0.0.5, so the guard let it through.
			post(t, e, url).want(t, webhook.Connect, false)
			post(t, e, url).want(t, webhook.BlockedAddress, false)
			if reached != 0 {
				t.Errorf("the receiver was reached %d times", reached)
			}
		})
	}
}

func TestBlockedAddressesOfANameAreSkipped(t *testing.T) {
	receiver := rawServerOn(t, "127.0.0.7:0", answer("HTTP/1.1 204 No Content\r\n\r\n"))
	_, port, _ := net.SplitHostPort(receiver)
	names := newNameServer(t, func(name string, _ int) []string {
		if strings.HasPrefix(name, "mixed") {
			return []string{"169.254.169.254", "10.0.0.1", "::1", "127.0.0.7"}
		}
		return []string{"10.0.0.1", "fd00::1", "127.0.0.8"}
	})
	cfg := local()
	cfg.Allow, cfg.Resolver = allow("127.0.0.7/32"), names.resolver()
	e := mustNew(t, cfg)

	r := post(t, e, "http://mixed.example.com:"+port+"/")
	if r.status != 204 || r.trace.RemoteIP != "127.0.0.7" {
		t.Errorf("got status %d from %s (%v), want 204 from 127.0.0.7", r.status, r.trace.RemoteIP, r.err)
	}
	post(t, e, "http://blocked.example.com:"+port+"/").want(t, webhook.BlockedAddress, false)
}

// An address that does not answer costs a head start, not the attempt.
func TestAddressThatRefusesIsFollowedByTheNext(t *testing.T) {
	receiver := rawServerOn(t, "127.0.0.7:0", answer("HTTP/1.1 204 No Content\r\n\r\n"))
	_, port, _ := net.SplitHostPort(receiver)
	names := newNameServer(t, func(string, int) []string { return []string{"127.0.0.8", "::1", "127.0.0.7"} })
	cfg := local()
	cfg.Resolver = names.resolver()
	e := mustNew(t, cfg)
	if r := post(t, e, "http://several.example.com:"+port+"/"); r.status != 204 {
		t.Errorf("got status %d (%v), want 204", r.status, r.err)
	}
}

func TestManyAddressesAreNotAllTried(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, net.IPv4(127, 0, 1, byte(i+1)).String())
	}
	names := newNameServer(t, func(string, int) []string { return many })
	cfg := local()
	cfg.Resolver = names.resolver()
	asked := make(chan struct{}, len(many))
	cfg.OwnPorts = func() ([]uint16, error) { asked <- struct{}{}; return nil, nil }
	e := mustNew(t, cfg)
	_, port, _ := net.SplitHostPort(closedPort(t))
	post(t, e, "http://many.example.com:"+port+"/").want(t, webhook.Connect, false)
	if got := len(asked); got != 8 {
		t.Errorf("%d addresses were dialled, want 8", got)
	}
}

func TestNamesAreAbsolute(t *testing.T) {
	names := newNameServer(t, func(string, int) []string { return nil })
	cfg := local()
	cfg.Resolver = names.resolver()
	e := mustNew(t, cfg)
	for _, host := range []string{"a.example.com", "B.Example.com.", "single", "bücher.example"} {
		post(t, e, "http://"+host+"/").want(t, webhook.DNS, false)
	}
	want := []string{"a.example.com.", "b.example.com.", "single.", "xn--bcher-kva.example."}
	if got := names.asked(); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// Containers reach each other by names of one label that only the hosts file has.
func TestNamesOfOneLabelAreFoundInTheHostsFile(t *testing.T) {
	name := ""
	hosts, _ := os.ReadFile("/etc/hosts")
	for line := range strings.Lines(string(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && f[0] == "127.0.0.1" {
			for _, n := range f[1:] {
				if n != "localhost" && !strings.Contains(n, ".") {
					name = n
				}
			}
		}
	}
	if name == "" {
		t.Skip("the hosts file has no name of one label for 127.0.0.1 but localhost")
	}
	receiver := rawServer(t, answer("HTTP/1.1 204 No Content\r\n\r\n"))
	_, port, _ := net.SplitHostPort(receiver)
	cfg := local()
	cfg.Resolver = newNameServer(t, func(string, int) []string { return nil }).resolver()
	e := mustNew(t, cfg)
	if r := post(t, e, "http://"+name+":"+port+"/"); r.status != 204 {
		t.Errorf("%s: status %d (%v)", name, r.status, r.err)
	}
}

func TestSomeHostsAreNeverLookedUp(t *testing.T) {
	names := newNameServer(t, func(string, int) []string { return []string{"8.8.8.8"} })
	e := mustNew(t, egress.Config{AllowHTTP: true, Resolver: names.resolver()})
	for _, host := range []string{
		"single", "localhost", "a.localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0x7f000001", "127.0.0.1.",
		"1.2.3.4.5", "example.0x", "127。0。0。1", "１２７.0.0.1",
	} {
		post(t, e, "http://"+host+"/").want(t, webhook.BlockedAddress, false)
	}
	if got := names.asked(); len(got) > 0 {
		t.Errorf("asked for %q", got)
	}
}

func TestDNSFailuresOfTheNameUseUpAnAttempt(t *testing.T) {
	names := newNameServer(t, func(name string, _ int) []string {
		switch {
		case strings.HasPrefix(name, "broken"):
			return []string{servfail}
		case strings.HasPrefix(name, "slow"):
			return []string{silent}
		case strings.HasPrefix(name, "empty"):
			return []string{}
		}
		return nil
	})
	cfg := local()
	cfg.Resolver = names.resolver()
	e := mustNew(t, cfg)
	post(t, e, "http://missing.example.com/").want(t, webhook.DNS, false)
	post(t, e, "http://broken.example.com/").want(t, webhook.DNS, false)
	post(t, e, "http://empty.example.com/").want(t, webhook.DNS, false)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := postBy(ctx, t, e.Transport(project, hook), "http://slow.example.com/")
	r.want(t, webhook.Timeout, false)
	if r.trace.Phase != egress.PhaseResolve {
		t.Errorf("phase %v, want resolve", r.trace.Phase)
	}
}

func TestOwnNameServersDownUseUpNoAttempt(t *testing.T) {
	quiet := newNameServer(t, func(string, int) []string { return []string{silent} })
	refusing := &net.Resolver{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", closedPort(t))
	}}
	for name, resolver := range map[string]*net.Resolver{"silent": quiet.resolver(), "refusing": refusing} {
		t.Run(name, func(t *testing.T) {
			cfg := local()
			cfg.Resolver = resolver
			e := mustNew(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			r := postBy(ctx, t, e.Transport(project, hook), "http://any.example.com/")
			r.want(t, webhook.DNS, true)
			if strings.Contains(r.text, "127.0.0.1") {
				t.Errorf("the text tells of a name server: %q", r.text)
			}
		})
	}
}
