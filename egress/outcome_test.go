package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// These faults are hard to bring about, so their errors are made up as package
// net makes them.
func TestFaultsOfThisMachineUseUpNoAttempt(t *testing.T) {
	for _, c := range []struct {
		call  string
		errno syscall.Errno
		fault bool
	}{
		{"bind", syscall.EADDRNOTAVAIL, true}, // the source address is gone
		{"connect", syscall.EADDRNOTAVAIL, true},
		{"socket", syscall.EMFILE, true},
		{"socket", syscall.ENFILE, true},
		{"socket", syscall.ENOBUFS, true},
		{"connect", syscall.ENETDOWN, true},
		{"connect", syscall.ECONNREFUSED, false},
		{"connect", syscall.EHOSTUNREACH, false},
		{"connect", syscall.ENETUNREACH, false},
		{"connect", syscall.ETIMEDOUT, false},
		{"connect", syscall.EPERM, false},
	} {
		err := &net.OpError{Op: "dial", Net: "tcp4", Err: os.NewSyscallError(c.call, c.errno)}
		a := &attempt{Context: context.Background()}
		outcome, text, fault := Classify(fmt.Errorf("wrapped: %w", a.connectError(err, false)))
		if outcome != webhook.Connect || fault != c.fault || text == "" {
			t.Errorf("%s %v: got %q, fault %v", c.call, c.errno, outcome, fault)
		}
		if _, text, _ := Classify(a.connectError(err, true)); strings.Contains(text, c.errno.Error()) {
			t.Errorf("%s %v: an internal address's text is %q", c.call, c.errno, text)
		}
	}
}

// The most telling of several failures is reported.
func TestFailuresOfSeveralAddressesAreWeighed(t *testing.T) {
	a := &attempt{Context: context.Background()}
	blocked, noFamily := a.blocked(nil), a.noFamily()
	local, refused := a.connectError(syscall.EMFILE, false), a.connectError(syscall.ECONNREFUSED, false)
	for _, c := range []struct {
		failures []*Error
		want     *Error
	}{
		{[]*Error{blocked, noFamily}, noFamily},
		{[]*Error{noFamily, blocked}, noFamily},
		{[]*Error{blocked, local}, local},
		{[]*Error{local, refused, blocked}, refused},
	} {
		var best dialed
		for _, e := range c.failures {
			best = best.orMoreTelling(dialed{err: e})
		}
		if best.err != c.want {
			t.Errorf("got %v, want %v", best.err, c.want)
		}
	}
}

// Addresses of a name are dialled in goroutines of their own, where nobody else
// recovers.
func TestPanicWhileDialingIsAFailedAttempt(t *testing.T) {
	e, err := New(Config{AllowHTTP: true, OwnPorts: func() ([]uint16, error) { panic("boom") }, Allow: []Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, addr := range []string{"127.0.0.1:1", "localhost:1"} { // alone, and one of several
		_, _, err := e.Transport("p", "wh").Send(t.Context(), &Request{URL: &url.URL{Scheme: "http", Host: addr}})
		if outcome, _, _ := Classify(err); outcome != webhook.Panicked {
			t.Errorf("%s: got %v", addr, err)
		}
	}
}

func TestCertificateTroubleIsExplainedForPublicReceiversOnly(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{x509.UnknownAuthorityError{}, "authority"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"inside.corp"}}, Host: "h"}, "the name in the URL"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "expired"},
		{x509.CertificateInvalidError{Reason: x509.CANotAuthorizedForThisName}, "not valid"},
		{syscall.ECONNRESET, textTLS},
	} {
		a := &attempt{Context: t.Context()}
		public := a.tlsError(&tls.CertificateVerificationError{Err: c.err}, &conn{})
		if !strings.Contains(public.Text, c.want) || strings.Contains(public.Text, "inside") {
			t.Errorf("%T: text %q, want %q in it", c.err, public.Text, c.want)
		}
		if internal := a.tlsError(c.err, &conn{internal: true}); internal.Text != textTLS {
			t.Errorf("%T: an internal receiver's text is %q", c.err, internal.Text)
		}
	}
}

func TestMachineKnowsItsFamilies(t *testing.T) {
	m := newMachine(nil)
	m.addrs.Store(&ownAddrs{readAt: time.Now().Add(time.Hour), single: map[netip.Addr]struct{}{
		netip.MustParseAddr("10.0.0.1"): {}, netip.MustParseAddr("::1"): {}, netip.MustParseAddr("fe80::1"): {},
	}})
	if !m.sends(true) || m.sends(false) {
		t.Errorf("sends IPv4 %v, IPv6 %v; want true, false", m.sends(true), m.sends(false))
	}
}

func TestPhasesHaveNames(t *testing.T) {
	for p := PhaseStart; p <= PhaseDone; p++ {
		if p.String() == "unknown" || p.String() == "" {
			t.Errorf("phase %d has no name", p)
		}
	}
	if got := Phase(99).String(); got != "unknown" {
		t.Errorf("got %q", got)
	}
}
