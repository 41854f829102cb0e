package gateway

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// TestFailedAuthenticationsKeepTheirLimitAmongManyAddresses fails from far more
// addresses than are remembered: it must stay quick, and the address that fails
// last must still be limited.
func TestFailedAuthenticationsKeepTheirLimitAmongManyAddresses(t *testing.T) {
	now := time.Now()
	f := newAuthLimit(func() time.Time { return now })
	for i := range uint32(100_000) {
		f.failed(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0b000000+i))))
	}
	last := netip.MustParseAddr("203.0.113.1")
	for range maxFailures {
		f.failed(last)
	}
	if f.allow(last) == nil {
		t.Error("an address is not limited")
	}
	now = now.Add(failureInterval)
	if err := f.allow(last); err != nil {
		t.Errorf("once a failure is forgiven: %v", err)
	}
}

func BenchmarkKnownKeyBesideFailures(b *testing.B) {
	f := newAuthLimit(time.Now)
	client, key := netip.MustParseAddr("203.0.113.1"), &Key{Hash: HashToken("a good token")}
	f.remember(client, key)
	f.failed(client)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !f.knows(client, key) {
				b.Error("forgotten")
			}
		}
	})
}
