package dispatch_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestDeadReceiverIsProbedAndNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mended atomic.Bool
		tr := w.hooks.add("wh_1", "proj_1", func(req *http.Request) (*http.Response, error) {
			if mended.Load() {
				return response(200), nil
			}
			return after(100*time.Millisecond, 503)(req)
		})
		other := w.hooks.add("wh_2", "proj_1", status(200))
		w.start()
		defer w.stop()
		ids := w.publish("wh_1", 10_000)
		time.Sleep(15 * time.Second) // 160 a second until it opens
		synctest.Wait()
		if n := w.d.Down(); n != 1 {
			t.Fatalf("%d receivers are taken for dead, want 1", n)
		}
		made := tr.count()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := tr.count() - made; n < 30 || n > 45 {
			t.Errorf("%d probes in 10 minutes, want about 4 a minute", n)
		}
		var calls = tr.all()[made:]
		for i := range calls[1:] {
			if wait := calls[i+1].at.Sub(calls[i].at); wait > 16*time.Second {
				t.Errorf("a probe came %v after the one before, want at most 15s", wait)
			}
		}
		for _, id := range ids {
			if d, _ := w.store.delivery(id); d.Attempts != d.Step || d.Attempts > 2 {
				t.Fatalf("delivery %s has %d attempts and %d steps, want what its schedule gave", id, d.Attempts, d.Step)
			}
		}
		w.publish("wh_2", 5)
		synctest.Wait()
		if n := other.count(); n != 5 {
			t.Errorf("%d attempts of another webhook, want 5", n)
		}

		w.d.RefreshAll() // a reload leaves it open, with one probe at once
		made = tr.count()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := tr.count() - made; n != 1 || w.d.Down() != 1 {
			t.Errorf("%d attempts after a reload, %d receivers down, want 1 each", n, w.d.Down())
		}

		mended.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := w.d.Down(); n != 0 {
			t.Errorf("%d receivers are taken for dead after a success, want none", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 10_000)
		if trips := w.seen.trips; len(trips) != 2 || !trips[0] || trips[1] {
			t.Errorf("the observer was told %v, want one opening and one closing", trips)
		}
	})
}

func TestRetriesOfAFewFailingDeliveriesAreNeverHeldByTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 500
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) {
			for range 20 {
				s.Retry = append(s.Retry, time.Second)
			}
		})
		w.start()
		defer w.stop()
		began := time.Now()
		w.publish("wh_1", n)
		time.Sleep(20*1100*time.Millisecond + time.Second)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Failed, n)
		if got := tr.count(); got != 21*n {
			t.Errorf("%d attempts in %v, want %d", got, time.Since(began), 21*n)
		}
	})
}

func TestReceiverThatRefusesEventsIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", after(100*time.Millisecond, 422))
		w.start()
		defer w.stop()
		w.publish("wh_1", 5000)
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := tr.count(); n < 5000 || w.d.Down() != 0 {
			t.Errorf("%d attempts, %d receivers down, want all attempts and none down", n, w.d.Down())
		}
	})
}
