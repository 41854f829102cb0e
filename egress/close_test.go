package egress_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestCloseInterruptsNoAttempt closes while answers come in: each attempt gets
// its own, and none is repeated. An attempt that is taken for failed although
// the receiver has answered makes the receiver get the event twice.
func TestCloseInterruptsNoAttempt(t *testing.T) {
	s := server(t, ok)
	for until := time.Now().Add(time.Second); time.Now().Before(until); {
		e := mustNew(t, local())
		sideBySide := func(meanwhile func()) {
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if r := post(t, e, s.URL); r.status != 200 || r.trace.Reconnected {
						t.Errorf("got %d, %+v (%v); want 200 at once", r.status, r.trace, r.err)
					}
				})
			}
			meanwhile()
			wg.Wait()
		}
		sideBySide(func() {}) // from now on there are connections
		sideBySide(func() {
			time.Sleep(rand.N(100 * time.Microsecond))
			e.Close()
		})
		s.CloseClientConnections() // so many are not to wait for their timeout
	}
}
