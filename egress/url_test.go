package egress_test

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/problem"
)

func TestCheckURL(t *testing.T) {
	long := "https://example.com/" + strings.Repeat("a", egress.MaxURL-len("https://example.com/"))
	strict := mustNew(t, egress.Config{})
	lax := mustNew(t, local())
	for _, c := range []struct {
		url  string
		want problem.Code // "" is accepted
	}{
		{"https://example.com", ""},
		{"https://example.com/", ""},
		{"https://example.com/hook?a=b&c=%20d", ""},
		{"HTTPS://EXAMPLE.com:8443/x", ""},
		{"https://example.com:1/", ""},
		{"https://example.com:65535/", ""},
		{"https://example.com./", ""},
		{"https://a-b.c_d.example.com/", ""},
		{"https://bücher.example/ü", ""},
		{"https://xn--bcher-kva.example/", ""},
		{"https://8.8.8.8/", ""},
		{"https://[2606:4700:4700::1111]:8443/", ""},
		{"https://1e100.net/", ""},
		{"https://127.0.0.1.example.com/", ""},
		{"https://localhost.example.com/", ""},
		{long, ""},

		{"", problem.Missing},
		{long + "a", problem.TooLong},
		{"https://example.com/\xff", problem.InvalidUTF8},
		{"http://example.com/", problem.InvalidValue},
		{"ftp://example.com/", problem.InvalidValue},
		{"javascript:alert(1)", problem.InvalidValue},
		{"example.com/x", problem.InvalidValue},
		{"/x", problem.InvalidValue},
		{"//example.com/x", problem.InvalidValue},
		{"https:example.com", problem.InvalidValue},
		{"https:///x", problem.InvalidValue},
		{"https://", problem.InvalidValue},
		{"https://:443/", problem.InvalidValue},
		{"https://?x", problem.InvalidValue},
		{"https://example.com:0/", problem.InvalidValue},
		{"https://example.com:65536/", problem.InvalidValue},
		{"https://example.com:-1/", problem.InvalidValue},
		{"https://example.com:+1/", problem.InvalidValue},
		{"https://example.com:https/", problem.InvalidValue},
		{"https://example.com:/", problem.InvalidValue},
		{"https://example.com:1:2/", problem.InvalidValue},
		{"https://user@example.com/", problem.InvalidValue},
		{"https://user:pass@example.com/", problem.InvalidValue},
		{"https://@example.com/", problem.InvalidValue},
		{"https://:@example.com/", problem.InvalidValue},
		{"https://example.com/#x", problem.InvalidValue},
		{"https://example.com/#", problem.InvalidValue},
		{" https://example.com/", problem.InvalidValue},
		{"https://example.com/ ", problem.InvalidValue},
		{"https://example.com/a b", problem.InvalidValue},
		{"https://example.com/a\tb", problem.InvalidValue},
		{"https://example.com/a\nb", problem.InvalidValue},
		{"https://example.com/a\x00b", problem.InvalidValue},
		{"https://example.com/a\x7fb", problem.InvalidValue},
		{"https://example.com/a\u0085b", problem.InvalidValue},
		{"https://example.com/a\u00a0b", problem.InvalidValue},
		{"https://example.com/a\u2028b", problem.InvalidValue},
		{`https://example.com\@evil.example/`, problem.InvalidValue},
		{`https:\\example.com`, problem.InvalidValue},
		{"https://[fe80::1%25eth0]/", problem.InvalidValue},
		{"https://[::1%25lo]/", problem.InvalidValue},
		{"https://[8.8.8.8]/", problem.InvalidValue},
		{"https://[2606:4700::1/", problem.InvalidValue},
		{"https://2606:4700::1/", problem.InvalidValue},
		{"https://exa mple.com/", problem.InvalidValue},
		{"https://exa%20mple.com/", problem.InvalidValue},
		{"https://example%2ecom/", problem.InvalidValue},
		{"https://example..com/", problem.InvalidValue},
		{"https://.example.com/", problem.InvalidValue},
		{"https://example.com../", problem.InvalidValue},
		{"https://" + strings.Repeat("a", 64) + ".com/", problem.InvalidValue},
		{"https://" + strings.Repeat("a.", 127) + "com/", problem.InvalidValue},
		{"https://exa*mple.com/", problem.InvalidValue},
		{"https://exa$mple.com/", problem.InvalidValue},
		{"https://xn--a.example/", problem.InvalidValue},
		{"https://127.1/", problem.InvalidValue},
		{"https://2130706433/", problem.InvalidValue},
		{"https://0x7f.1/", problem.InvalidValue},
		{"https://0x7f000001/", problem.InvalidValue},
		{"https://0177.0.0.1/", problem.InvalidValue},
		{"https://127.0.0.01/", problem.InvalidValue},
		{"https://8.8.8.8./", problem.InvalidValue},
		{"https://1.2.3.4.5/", problem.InvalidValue},
		{"https://256.1.1.1/", problem.InvalidValue},
		{"https://example.0x1/", problem.InvalidValue},
		{"https://１２７．１/", problem.InvalidValue},

		{"https://127.0.0.1/", problem.AddressRefused},
		{"https://１２７.0.0.1/", problem.AddressRefused},
		{"https://127。0。0。1/", problem.AddressRefused},
		{"https://10.0.0.1:8080/x", problem.AddressRefused},
		{"https://169.254.169.254/latest", problem.AddressRefused},
		{"https://0.0.0.0/", problem.AddressRefused},
		{"https://[::]/", problem.AddressRefused},
		{"https://[::1]/", problem.AddressRefused},
		{"https://[::ffff:127.0.0.1]/", problem.AddressRefused},
		{"https://[::ffff:a9fe:a9fe]/", problem.AddressRefused},
		{"https://[64:ff9b::7f00:1]/", problem.AddressRefused},
		{"https://[2002:7f00:1::]/", problem.AddressRefused},
		{"https://[fd00:ec2::254]/", problem.AddressRefused},
		{"https://localhost/", problem.AddressRefused},
		{"https://LocalHost:8080/", problem.AddressRefused},
		{"https://localhost./", problem.AddressRefused},
		{"https://a.b.localhost/", problem.AddressRefused},
		{"https://ｌocalhost/", problem.AddressRefused},
		{"https://intranet/", problem.AddressRefused},
	} {
		got := codesOf(strict.CheckURL(project, c.url))
		for i, code := range got {
			if i > 0 && code == got[i-1] {
				continue // a relative URL lacks both scheme and host
			}
			if code != c.want {
				t.Errorf("%q: got %q, want %q", short(c.url), got, c.want)
			}
		}
		if c.want != "" && got == nil {
			t.Errorf("%q: accepted, want %q", short(c.url), c.want)
		}
	}
	for _, accepted := range []string{
		"http://127.0.0.1:3000/", "http://localhost:3000/", "http://[::1]/", "http://a.localhost./", "http://receiver:8080/",
		"http://[::ffff:127.0.0.1]/", "https://example.com/",
	} {
		if items := lax.CheckURL(project, accepted); items != nil {
			t.Errorf("%q: refused where loopback and http are allowed: %v", accepted, items)
		}
	}
}

func codesOf(items []problem.Item) []problem.Code {
	var codes []problem.Code
	for _, item := range items {
		codes = append(codes, item.Code)
	}
	return codes
}

func short(s string) string { return s[:min(len(s), 80)] }

func TestCheckURLNamesEveryProblem(t *testing.T) {
	e := mustNew(t, egress.Config{})
	items := e.CheckURL(project, "http://user:pass@127.0.0.1:0/")
	if got := len(items); got != 4 {
		t.Errorf("got %d problems, want 4: %v", got, items)
	}
	for _, item := range items {
		if item.Pointer != "#/url" || item.Detail == "" || strings.Contains(item.Detail, "pass@") {
			t.Errorf("item %+v", item)
		}
	}
}

func TestCheckURLRefusesOwnPorts(t *testing.T) {
	s := server(t, ok)
	e := mustNew(t, egress.Config{Allow: allow("127.0.0.0/8"), AllowHTTP: true})
	for _, host := range []string{"127.0.0.1", "localhost"} {
		got := codesOf(e.CheckURL(project, "http://"+host+":"+portOf(t, s.URL)+"/stop"))
		if len(got) != 1 || got[0] != problem.AddressRefused {
			t.Errorf("%s: got %q, want address_refused", host, got)
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/", "http://127.0.0.1:2019/stop", "https://[::ffff:127.0.0.1]:443/", "https://127.1/", "https://a@b:1/#c",
		"https://[fe80::1%25lo]/", "https://１２７.0.0.1/", "https://xn--bcher-kva.example:8443/x?y", "https://[64:ff9b::a9fe:a9fe]/",
		"https://0x7f.1", "https://localhost.", "https:\\\\x", "https://8.8.8.8:65535",
	} {
		f.Add(seed)
	}
	e, err := egress.New(egress.Config{
		AllowHTTP: true, Allow: allow("10.0.0.0/8", "fd12::/16"),
		OwnPorts: func() ([]uint16, error) { return []uint16{2019}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rawURL string) {
		if e.CheckURL(project, rawURL) != nil {
			return
		}
		u, err := url.Parse(rawURL)
		if err != nil {
			t.Fatalf("accepted, but cannot be parsed: %v", err)
		}
		if len(rawURL) > egress.MaxURL || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(rawURL, "\\ \t\r\n#") {
			t.Errorf("accepted %q", rawURL)
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			return
		}
		port := "443"
		if u.Scheme == "http" {
			port = "80"
		}
		if u.Port() != "" {
			port = strings.TrimLeft(u.Port(), "0")
		}
		addrPort, err := netip.ParseAddrPort(net.JoinHostPort(addr.String(), port))
		if err != nil {
			t.Fatalf("accepted %q: %v", rawURL, err)
		}
		if err := e.Check(project, addrPort); err != nil {
			t.Errorf("accepted %q, but the guard refuses it: %v", rawURL, err)
		}
	})
}
