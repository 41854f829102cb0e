package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

func (h *hooks) remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.m, id)
}

// This test runs on real time, so that workers and Forget really race.
func TestNoAttemptIsUnderWayAfterForget(t *testing.T) {
	w := newWorld(t)
	w.start()
	defer w.stop()
	for i := range 50 {
		id := fmt.Sprintf("wh_%d", i)
		var forgotten atomic.Bool
		var late atomic.Int32
		w.hooks.add(id, "proj_1", func(*http.Request) (*http.Response, error) {
			if forgotten.Load() {
				late.Add(1)
			}
			return response(200), nil
		})
		w.publish(id, 300)
		for w.store.count(id, webhook.Delivered) < 3*i {
			time.Sleep(10 * time.Microsecond)
		}
		w.hooks.remove(id)
		w.d.Forget(t.Context(), id)
		forgotten.Store(true)
		for w.store.count(id, webhook.Pending) > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if n := late.Load(); n != 0 {
			t.Fatalf("%d attempts after Forget, want none", n)
		}
	}
}

func TestForgetCutsAttemptsShortThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", hang)
		quick := w.hooks.add("wh_2", "proj_1", after(500*time.Millisecond, 200))
		w.start()
		defer w.stop()
		ids, ended := w.publish("wh_1", 40), w.publish("wh_2", 1)
		synctest.Wait()
		made := tr.count()

		began := time.Now()
		w.hooks.remove("wh_2")
		w.d.Forget(t.Context(), "wh_2")
		if d := time.Since(began); d != 500*time.Millisecond || quick.count() != 1 {
			t.Errorf("Forget took %v, want the 500ms of the attempt in flight", d)
		}
		synctest.Wait()
		w.wantStatus(ended[0], webhook.Delivered, "")

		began = time.Now()
		w.hooks.remove("wh_1")
		w.d.Forget(t.Context(), "wh_1")
		if d := time.Since(began); d != time.Second {
			t.Errorf("Forget took %v, want 1s", d)
		}
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Cancelled, "")
		}
		if n := tr.count(); n != made {
			t.Errorf("%d attempts after Forget, want none", n-made)
		}

		w.hooks.add("wh_1", "proj_1", hang) // it comes back
		again := w.publish("wh_1", 1)[0]
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		synctest.Wait()
		w.hooks.set("wh_1", 0)
		w.d.Forget(ctx, "wh_1") // in a hurry
		synctest.Wait()
		w.wantStatus(again, webhook.Pending, "")
		if d, _ := w.store.delivery(again); d.Attempts != 0 {
			t.Errorf("an attempt that was cut short counts")
		}
	})
}
