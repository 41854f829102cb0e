package gatewaytest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// freeAddress returns an address on loopback that nothing listens on. It is
// below the range that systems take ports of outgoing connections from, so that
// it stays free until the gateway listens, also across a restart. No other test
// gets it before this one has ended, nor one of another process: two gateways can
// listen on one port, because Caddy shares it, and each would get half of the
// requests. The UDP port of the same number stands for it.
func freeAddress(t testing.TB) string {
	t.Helper()
	const lowest, highest, tries = 15000, 32000, 100
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		taken, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			taken.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { taken.Close() })
		return address
	}
	t.Fatalf("no free port found in %d tries", tries)
	return ""
}
