package gateway_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// Attempts of an address that may fail at once, and when one more may.
const (
	maxFailures     = 60
	failureInterval = time.Second
)

const goodToken = "a-token-of-the-configuration"

// handClock is a clock that stands until it is moved.
type handClock struct{ time atomic.Pointer[time.Time] }

func newHandClock() *handClock {
	c, now := new(handClock), time.Now()
	c.time.Store(&now)
	return c
}

func (c *handClock) now() time.Time { return *c.time.Load() }

func (c *handClock) advance(d time.Duration) {
	next := c.now().Add(d)
	c.time.Store(&next)
}

// clockGateway returns a gateway with a key and the clock it goes by.
func clockGateway(t *testing.T) (*gateway.Gateway, *handClock) {
	t.Helper()
	clock := newHandClock()
	g, _ := mustOpen(t, t.TempDir(), clock.now)
	s := settings(t)
	s.Keys = []gateway.Key{{Name: "good", Hash: gateway.HashToken(goodToken), Scopes: gateway.Scopes}}
	mustApply(t, g, s)
	return g, clock
}

// tryToken returns the code that a token is answered with; "" if it works.
func tryToken(g *gateway.Gateway, client, token string) problem.Code {
	addr, _ := netip.ParseAddr(client)
	if _, err := g.AuthenticateFrom(addr, token); err != nil {
		return problem.From(err).Code
	}
	return ""
}

func exhaust(t *testing.T, g *gateway.Gateway, client string) {
	t.Helper()
	for i := range maxFailures {
		if code := tryToken(g, client, "wrong"); code != problem.Unauthorized {
			t.Fatalf("failure %d: %s, want unauthorized", i+1, code)
		}
	}
}

func TestFailedAuthenticationsAreLimitedPerAddress(t *testing.T) {
	g, clock := clockGateway(t)
	exhaust(t, g, "203.0.113.1")
	for client, want := range map[string]problem.Code{
		"203.0.113.1":        problem.TooManyRequests,
		"::ffff:203.0.113.1": problem.TooManyRequests, // the same address, written for IPv6
		"203.0.113.2":        problem.Unauthorized,
	} {
		if got := tryToken(g, client, "wrong"); got != want {
			t.Errorf("%s: %s, want %s", client, got, want)
		}
	}
	addr := netip.MustParseAddr("203.0.113.1")
	_, err := g.AuthenticateFrom(addr, "wrong")
	if wait := problem.From(err).RetryAfter; wait <= 0 || wait > failureInterval {
		t.Errorf("Retry-After %v", wait)
	}

	// What is refused does not lengthen the wait.
	clock.advance(failureInterval)
	if got := tryToken(g, "203.0.113.1", "wrong"); got != problem.Unauthorized {
		t.Errorf("after a while: %s", got)
	}
	if got := tryToken(g, "203.0.113.1", "wrong"); got != problem.TooManyRequests {
		t.Errorf("one more: %s", got)
	}
	clock.advance(time.Hour)
	exhaust(t, g, "203.0.113.1")
}

func TestFailedAuthenticationsOfIPv6AreLimitedPer64(t *testing.T) {
	g, _ := clockGateway(t)
	exhaust(t, g, "2001:db8:0:1::1")
	if got := tryToken(g, "2001:db8:0:1:ffff::2", "wrong"); got != problem.TooManyRequests {
		t.Errorf("the same /64: %s", got)
	}
	if got := tryToken(g, "2001:db8:0:2::1", "wrong"); got != problem.Unauthorized {
		t.Errorf("another /64: %s", got)
	}
}

// TestLimitedAddressCannotGoOnGuessing: a good key that is new at the address is
// answered like a wrong one, so that the answer tells nothing.
func TestLimitedAddressCannotGoOnGuessing(t *testing.T) {
	g, clock := clockGateway(t)
	exhaust(t, g, "203.0.113.1")
	if got := tryToken(g, "203.0.113.1", goodToken); got != problem.TooManyRequests {
		t.Errorf("a good key that is new here: %s", got)
	}
	if got := tryToken(g, "203.0.113.2", goodToken); got != "" {
		t.Errorf("a good key elsewhere: %s", got)
	}
	clock.advance(failureInterval)
	if got := tryToken(g, "203.0.113.1", goodToken); got != "" {
		t.Errorf("a good key after Retry-After: %s", got)
	}
}

func TestKeyThatHasWorkedGoesOnBesideAFailingNeighbour(t *testing.T) {
	g, _ := clockGateway(t)
	if got := tryToken(g, "203.0.113.1", goodToken); got != "" {
		t.Fatal(got)
	}
	exhaust(t, g, "203.0.113.1")
	if got := tryToken(g, "203.0.113.1", goodToken); got != "" {
		t.Errorf("the key that has worked: %s", got)
	}
	if got := tryToken(g, "203.0.113.1", "wrong"); got != problem.TooManyRequests {
		t.Errorf("the neighbour: %s", got)
	}
}

// TestGoodKeysAlwaysWorkOnLoopback: a sidecar with a wrong key must not lock out
// the others of its host.
func TestGoodKeysAlwaysWorkOnLoopback(t *testing.T) {
	for _, client := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "" /* a Unix socket */} {
		g, _ := clockGateway(t)
		exhaust(t, g, client)
		if got := tryToken(g, client, "wrong"); got != problem.TooManyRequests {
			t.Errorf("%q: a wrong key: %s", client, got)
		}
		if got := tryToken(g, client, goodToken); got != "" {
			t.Errorf("%q: a good key: %s", client, got)
		}
	}
}

func TestRequestWithoutAKeyIsNoAttempt(t *testing.T) {
	g, _ := clockGateway(t)
	for range 3 * maxFailures {
		if got := tryToken(g, "203.0.113.1", ""); got != problem.Unauthorized {
			t.Fatal(got)
		}
	}
	if got := tryToken(g, "203.0.113.1", goodToken); got != "" {
		t.Error(got)
	}
}

// TestAKeyOfManyHostsGoesOnWorkingAtAllOfThem: those of a cluster share one, and on
// one of them something else goes on with a wrong key.
func TestAKeyOfManyHostsGoesOnWorkingAtAllOfThem(t *testing.T) {
	g, _ := clockGateway(t)
	for i := range 100 {
		if got := tryToken(g, fmt.Sprintf("203.0.113.%d", i), goodToken); got != "" {
			t.Fatal(got)
		}
	}
	exhaust(t, g, "203.0.113.0")
	for range 2 {
		if got := tryToken(g, "203.0.113.0", goodToken); got != "" {
			t.Errorf("the key that has worked: %s", got)
		}
	}
}
