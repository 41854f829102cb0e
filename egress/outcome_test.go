package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

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
		a := newAttempt(context.Background())
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
	a := newAttempt(context.Background())
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

// A dial runs in a goroutine of net/http, where nobody recovers.
func TestPanicWhileDialingIsAFailedAttempt(t *testing.T) {
	e, err := New(Config{AllowHTTP: true, OwnPorts: func() ([]uint16, error) { panic("boom") }, Allow: []Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	tr := e.Transport("p", "wh")
	for _, addr := range []string{"127.0.0.1:1", "localhost:1"} { // alone, and one of several
		a := newAttempt(t.Context())
		_, err := tr.dial(context.WithValue(a, attemptKey{}, a), addr, false)
		if outcome, _, _ := Classify(err); outcome != webhook.Panicked {
			t.Errorf("%s: got %v", addr, err)
		}
	}
	if _, err := tr.dial(context.Background(), "127.0.0.1:1", false); err == nil {
		t.Error("dialled outside of an attempt")
	}
}
