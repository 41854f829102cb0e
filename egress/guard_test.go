package egress_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/webhook"
)

// notPublic are addresses that no webhook may reach unless they are allowed.
var notPublic = []string{
	"0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
	"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1",
	"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
	"240.0.0.1", "255.255.255.255",
	"::1", "::127.0.0.1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "::ffff:0:127.0.0.1",
	"64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1",
	"2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fec0::1", "ff02::1",
	"4000::1", "1::1",
}

// closed are addresses that no setting opens.
var closed = []string{
	"169.254.169.254", "169.254.0.1", "169.254.170.2", "168.63.129.16", "192.0.0.192", "100.100.100.200", "0.0.0.0",
	"::", "fe80::1", "fe80::a9fe:a9fe", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
	"::ffff:169.254.169.254", "::ffff:168.63.129.16", "::ffff:0.0.0.0", "::169.254.169.254",
	"64:ff9b::169.254.169.254", "64:ff9b::a83f:8110", "64:ff9b:1::169.254.169.254", "::ffff:0:169.254.169.254",
	"2002:a9fe:a9fe::1", "2002:6464:64c8::",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
	"128.0.0.1", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1",
	"192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8",
	"2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2003::1",
}

func TestOnlyPublicAddressesAreOpen(t *testing.T) {
	e := mustNew(t, egress.Config{})
	check := func(text string, wantOpen bool) {
		t.Helper()
		for _, port := range []uint16{1, 22, 80, 443, 8443, 65535} {
			err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr(text), port))
			if open := err == nil; open != wantOpen {
				t.Errorf("%s port %d: open %v, want %v (%v)", text, port, open, wantOpen, err)
			}
		}
	}
	for _, text := range public {
		check(text, true)
	}
	for _, text := range notPublic {
		check(text, false)
	}
	for _, text := range closed {
		check(text, false)
	}
}

func TestMetadataStaysClosedWhateverIsAllowed(t *testing.T) {
	cfg := local()
	cfg.Allow = allow("0.0.0.0/0", "::/0", "169.254.169.254/32", "fd00:ec2::254/128", "64:ff9b::/96")
	e := mustNew(t, cfg)
	for _, text := range closed {
		if e.Check(project, netip.AddrPortFrom(netip.MustParseAddr(text), 80)) == nil {
			t.Errorf("%s is open", text)
		}
	}
	for _, text := range append(notPublic, public...) {
		if err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr(text), 80)); err != nil {
			t.Errorf("%s is closed though all is allowed: %v", text, err)
		}
	}
}

func TestAllowingATranslatorDoesNotAllowWhatIsBehindIt(t *testing.T) {
	e := mustNew(t, egress.Config{Allow: allow("64:ff9b::/96", "2002::/16")})
	for text, want := range map[string]bool{
		"64:ff9b::8.8.8.8": true, "64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": false,
		"2002:808:808::1": true, "2002:a00:1::1": false,
	} {
		err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr(text), 443))
		if (err == nil) != want {
			t.Errorf("%s: open %v, want %v", text, err == nil, want)
		}
	}
}

func TestAllowHoldsForItsProjectsOnly(t *testing.T) {
	e := mustNew(t, egress.Config{Allow: []egress.Allow{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Projects: []string{"a", "b"}},
		{Prefix: netip.MustParsePrefix("10.2.0.0/16"), Projects: []string{webhook.AllProjects}},
		{Prefix: netip.MustParsePrefix("10.3.0.0/16")},
		{Prefix: netip.MustParsePrefix("10.4.9.9/16"), Projects: []string{"a"}}, // host bits do not matter
	}})
	want := map[string]string{"a": "1234", "b": "123", "c": "23", webhook.AllProjects: "23", "": "23"}
	for project, open := range want {
		for _, net := range []string{"1", "2", "3", "4", "5"} {
			err := e.Check(project, netip.MustParseAddrPort("10."+net+".0.7:443"))
			if (err == nil) != strings.Contains(open, net) {
				t.Errorf("project %q, 10.%s.0.7: %v", project, net, err)
			}
		}
	}
}

func TestGuardFailsClosedOnWhatItCannotRead(t *testing.T) {
	cfg := local()
	cfg.Allow = allow("0.0.0.0/0", "::/0")
	e := mustNew(t, cfg)
	for _, c := range [][2]string{
		{"tcp4", ""}, {"tcp4", "8.8.8.8"}, {"tcp4", "8.8.8.8:http"}, {"tcp4", "localhost:80"}, {"tcp4", "8.8.8.8:0"},
		{"tcp4", "8.8.8.8:65536"}, {"tcp6", "[2606:4700::1%eth0]:80"}, {"tcp6", "[::1%lo]:80"}, {"tcp6", "::1:80"},
		{"udp4", "8.8.8.8:80"}, {"unix", "/run/docker.sock"}, {"tcp", "8.8.8.8:80"},
	} {
		if e.Control(project, c[0], c[1]) == nil {
			t.Errorf("%s %q is open", c[0], c[1])
		}
	}
	if err := e.Control(project, "tcp4", "8.8.8.8:80"); err != nil {
		t.Errorf("8.8.8.8:80 is closed: %v", err)
	}
}

func TestOwnPortsStayClosed(t *testing.T) {
	e := mustNew(t, egress.Config{Allow: allow("0.0.0.0/0", "::/0"), AllowHTTP: true})
	for _, on := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", on)
		if err != nil {
			t.Logf("skip %s: %v", on, err)
			continue
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		for _, addr := range ownAddresses(t) {
			if e.Check(project, netip.AddrPortFrom(addr, port)) == nil {
				t.Errorf("listener on %s: %s port %d is open", on, addr, port)
			}
		}
		if err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port)); err != nil {
			t.Errorf("the port is closed at other machines: %v", err)
		}
		l.Close()
		if err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)); err != nil {
			t.Errorf("listener on %s: still closed after it is gone: %v", on, err)
		}
	}
}

// ownAddresses are spellings of this machine.
func ownAddresses(t *testing.T) []netip.Addr {
	list := []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.9.9.9"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::"),
		netip.MustParseAddr("64:ff9b::127.0.0.1"), netip.MustParseAddr("2002:7f00:1::1"),
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatalf("own addresses: %v", err)
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, prefix.Addr())
		}
	}
	return list
}

// What goes to a public address of this machine never leaves it: it gets past
// every firewall in front, and looks like a local client.
func TestPublicAddressesOfThisMachineNeedAnAllow(t *testing.T) {
	own, own6 := netip.MustParseAddr("54.1.2.3"), netip.MustParseAddr("2600:1f18::7")
	for _, c := range []struct {
		allow []string
		addr  string
		ok    bool
	}{
		{nil, "54.1.2.3", false},
		{nil, "2600:1f18::7", false},
		{nil, "::ffff:54.1.2.3", false},
		{nil, "64:ff9b::54.1.2.3", false},
		{nil, "54.1.2.4", true},
		{[]string{"10.0.0.0/8"}, "54.1.2.3", false},
		{[]string{"54.1.2.3/32"}, "54.1.2.3", true},
		{[]string{"54.1.2.3/32"}, "2600:1f18::7", false},
		{[]string{"2600:1f18::/64"}, "2600:1f18::7", true},
	} {
		cfg := egress.Config{}
		if c.allow != nil {
			cfg.Allow = allow(c.allow...)
		}
		e := mustNew(t, cfg)
		e.TakeForOwn(own, own6)
		if err := e.Check(project, netip.AddrPortFrom(netip.MustParseAddr(c.addr), 443)); (err == nil) != c.ok {
			t.Errorf("%s with allow %v: %v", c.addr, c.allow, err)
		}
	}
}

// A socket that came from outside, by inheritance or as a file, has no
// net.Listener that anything could have registered.
func TestOwnPortsAreFoundWhoeverOpenedThem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatalf("file: %v", err)
	}
	defer file.Close()
	l.Close()
	e := mustNew(t, egress.Config{Allow: allow("127.0.0.0/8"), AllowHTTP: true})
	if r := post(t, e, "http://"+l.Addr().String()+"/"); r.outcome != webhook.BlockedAddress {
		t.Errorf("got %q, want blocked_address (%v)", r.outcome, r.err)
	}
}

func TestOwnPortThatCannotBeToldIsAGatewayFault(t *testing.T) {
	cfg := local()
	cfg.OwnPorts = func() ([]uint16, error) { return nil, errors.New("no more descriptors") }
	e := mustNew(t, cfg)
	r := post(t, e, "http://127.0.0.1:1/")
	r.want(t, webhook.Connect, true)
}

// The classic kill switch: Caddy's admin API stops the process on an
// unauthenticated POST /stop.
func TestAdminPortIsNotReached(t *testing.T) {
	admin := server(t, ok)
	port := portOf(t, admin.URL)
	names := newNameServer(t, func(string, int) []string { return []string{"127.0.0.1"} })
	e := mustNew(t, egress.Config{
		Allow: allow("127.0.0.0/8", "::/0"), AllowHTTP: true, Resolver: names.resolver(),
	})
	for _, host := range []string{
		"127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST.", "a.localhost", "admin.example.com", "[::ffff:127.0.0.1]",
	} {
		r := post(t, e, "http://"+host+":"+port+"/stop")
		r.want(t, webhook.BlockedAddress, false)
		if strings.Contains(r.text, port) || strings.Contains(r.text, "process") {
			t.Errorf("%s: the text tells of the port: %q", host, r.text)
		}
	}
}

// The guard costs a look at each descriptor for receivers on this machine.
func BenchmarkListeningPorts(b *testing.B) {
	var files []*os.File
	for range 1000 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, f)
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := egress.ListeningPorts(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckPublic(b *testing.B) {
	e := mustNew(b, egress.Config{})
	addr := netip.MustParseAddrPort("8.8.8.8:" + strconv.Itoa(443))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Check(project, addr); err != nil {
			b.Fatal(err)
		}
	}
}

// Listings are shared, yet none may be older than the question.
func TestOwnPortsAreFoundAtOnceUnderLoad(t *testing.T) {
	e := mustNew(t, egress.Config{Allow: allow("127.0.0.0/8")})
	var probes sync.WaitGroup
	for range 8 {
		probes.Go(func() {
			for range 50 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Error(err)
					return
				}
				if e.Check(project, l.Addr().(*net.TCPAddr).AddrPort()) == nil {
					t.Error("an open listener is not found")
				}
				l.Close()
			}
		})
	}
	probes.Wait()
}
