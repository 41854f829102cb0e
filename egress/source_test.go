package egress_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func TestEveryAttemptLeavesFromASource(t *testing.T) {
	if _, err := egress.New(egress.Config{Sources: addrs("127.0.0.2", "127.0.0.3")}); err != nil {
		t.Skipf("this system has no 127.0.0.2: %v", err)
	}
	var mu sync.Mutex
	seen := make(map[string]map[string]bool) // by webhook: peers
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		defer mu.Unlock()
		if seen[r.URL.Path] == nil {
			seen[r.URL.Path] = make(map[string]bool)
		}
		seen[r.URL.Path][peer] = true
	})
	cfg := local()
	cfg.Sources = addrs("127.0.0.2", "127.0.0.3")
	used := make(map[string]int)
	for range 2 { // the second is a restart: nothing may change
		e := mustNew(t, cfg)
		for i := range 20 {
			id := fmt.Sprintf("wh_%d", i)
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				r := postBy(ctx, t, e.Transport(project, id), s.URL+"/"+id)
				cancel()
				if r.status != 200 {
					t.Fatalf("got %d (%v)", r.status, r.err)
				}
				used[r.trace.SourceIP]++
				if !seen["/"+id][r.trace.SourceIP] {
					t.Errorf("trace says %s, receiver saw %v", r.trace.SourceIP, seen["/"+id])
				}
			}
		}
	}
	for id, peers := range seen {
		if len(peers) != 1 {
			t.Errorf("%s came from %v, want one address", id, peers)
		}
	}
	if len(used) != 2 || used["127.0.0.2"] == 0 || used["127.0.0.3"] == 0 {
		t.Errorf("used %v, want both sources and no other", used)
	}
}

func TestReceiverOfAnotherIPFamilyIsTold(t *testing.T) {
	names := newNameServer(t, func(string, int) []string { return []string{"::1"} })
	cfg := local()
	cfg.Sources, cfg.Resolver = addrs("127.0.0.1"), names.resolver()
	e := mustNew(t, cfg)
	post(t, e, "http://[::1]:9/").want(t, webhook.NoAddressFamily, false)
	post(t, e, "http://six.example.com:9/").want(t, webhook.NoAddressFamily, false)
}

func TestBothFamiliesHaveTheirSource(t *testing.T) {
	cfg := local()
	cfg.Sources = addrs("127.0.0.2", "::1", "127.0.0.3")
	if _, err := egress.New(cfg); err != nil {
		t.Skipf("this system lacks an address: %v", err)
	}
	e := mustNew(t, cfg)
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6")
	}
	six := &http.Server{Handler: http.HandlerFunc(ok)}
	go six.Serve(l)
	t.Cleanup(func() { six.Close() })
	if r := post(t, e, "http://"+l.Addr().String()); r.trace.SourceIP != "::1" {
		t.Errorf("IPv6 left from %q (%v)", r.trace.SourceIP, r.err)
	}
	if r := post(t, e, server(t, ok).URL); !strings.HasPrefix(r.trace.SourceIP, "127.0.0.") || r.trace.SourceIP == "127.0.0.1" {
		t.Errorf("IPv4 left from %q (%v)", r.trace.SourceIP, r.err)
	}
}

func TestConfigurationErrorsAreAllNamed(t *testing.T) {
	proxy := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name string
		cfg  egress.Config
		want []string
	}{
		{"source missing here", egress.Config{Sources: addrs("192.0.2.77", "203.0.113.9")}, []string{"192.0.2.77", "203.0.113.9"}},
		{"source twice", egress.Config{Sources: addrs("127.0.0.1", "127.0.0.1")}, []string{"listed twice"}},
		{"source unspecified", egress.Config{Sources: addrs("0.0.0.0", "::", "::ffff:127.0.0.1", "224.0.0.1")}, []string{"0.0.0.0", "source ::", "::ffff:127.0.0.1", "224.0.0.1"}},
		{"source invalid", egress.Config{Sources: []netip.Addr{{}}}, []string{"source"}},
		{"advertise invalid", egress.Config{Advertise: []netip.Addr{{}}}, []string{"advertise"}},
		{"allow invalid", egress.Config{Allow: []egress.Allow{{}}}, []string{"allow"}},
		{"allow mapped", egress.Config{Allow: allow("::ffff:10.0.0.0/104")}, []string{"allow"}},
		{"allow empty project", egress.Config{Allow: []egress.Allow{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Projects: []string{""}}}}, []string{"project"}},
		{"proxy and source", egress.Config{Proxy: proxy("http://u:proxy-secret@p:3128"), Sources: addrs("127.0.0.1")}, []string{"source"}},
		{"proxy alone", egress.Config{Proxy: proxy("http://u:proxy-secret@p:3128")}, []string{"advertise"}},
		{"proxy of another kind", egress.Config{Proxy: proxy("socks5://u:proxy-secret@p:3128"), Advertise: addrs("1.1.1.1")}, []string{"http://"}},
		{"proxy without host", egress.Config{Proxy: proxy("http://u:proxy-secret@:3128"), Advertise: addrs("1.1.1.1")}, []string{"http://"}},
		{"proxy port", egress.Config{Proxy: proxy("http://u:proxy-secret@p:0"), Advertise: addrs("1.1.1.1")}, []string{"port"}},
		{"idle", egress.Config{MaxIdlePerHost: -1}, []string{"idle"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := egress.New(c.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			mustHideSecrets(t, err.Error())
		})
	}
}

func TestAdvertisedIPs(t *testing.T) {
	for _, c := range []struct {
		cfg  egress.Config
		want []string
	}{
		{egress.Config{}, []string{}},
		{egress.Config{Sources: addrs("127.0.0.1")}, []string{"127.0.0.1"}},
		{egress.Config{Sources: addrs("127.0.0.1"), Advertise: addrs("54.123.45.67", "2600::1")}, []string{"54.123.45.67", "2600::1"}},
	} {
		got := mustNew(t, c.cfg).AdvertisedIPs()
		if got == nil || !slices.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}
