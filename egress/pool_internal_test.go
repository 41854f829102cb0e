package egress

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// piped returns a connection to keep, and says when it is closed.
func piped(t *testing.T) (c *conn, closed func() bool) {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		_, _ = theirs.Read(make([]byte, 1)) // until ours is closed
		close(ended)
	}()
	t.Cleanup(func() { _ = ours.Close() })
	return newConn(ours, "", false), func() bool {
		synctest.Wait()
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
}

func TestKeptConnectionsGrowTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{perEndpoint: 10}
		to := endpoint{host: "a"}
		first, firstClosed := piped(t)
		second, secondClosed := piped(t)
		p.put(to, first)
		time.Sleep(time.Second)
		p.put(to, second)
		time.Sleep(idleTimeout - time.Second - time.Nanosecond)
		if firstClosed() {
			t.Error("closed before its time")
		}
		time.Sleep(time.Nanosecond)
		if !firstClosed() || secondClosed() {
			t.Errorf("closed: first %v, second %v; want the first only", firstClosed(), secondClosed())
		}
		if c := p.pop(to); c != second {
			t.Error("the younger one is not to be had")
		}
		p.put(to, second)
		time.Sleep(2 * idleTimeout)
		if !secondClosed() || p.count != 0 || len(p.kept) != 0 || p.sweeps != nil {
			t.Errorf("left over: %d of %d endpoints, timer %v", p.count, len(p.kept), p.sweeps != nil)
		}
	})
}

func TestPoolKeepsAFewOfEachEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{perEndpoint: 2}
		var closed []func() bool
		for range 3 {
			c, isClosed := piped(t)
			closed = append(closed, isClosed)
			p.put(endpoint{host: "a"}, c)
		}
		if closed[0]() || closed[1]() || !closed[2]() {
			t.Error("of three connections, not two were kept")
		}
		other, otherClosed := piped(t)
		p.put(endpoint{host: "a", secure: true}, other)
		if otherClosed() {
			t.Error("another endpoint has no room of its own")
		}
		p.close()
		late, lateClosed := piped(t)
		p.put(endpoint{host: "a"}, late)
		for i, isClosed := range append(closed, otherClosed, lateClosed) {
			if !isClosed() {
				t.Errorf("connection %d is open after close", i)
			}
		}
	})
}
