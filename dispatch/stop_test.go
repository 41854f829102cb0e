package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestStopWaitsForAttemptsInFlightAndClaimsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", after(2*time.Second, 200))
		w.start()
		w.publish("wh_1", 40)
		time.Sleep(time.Second)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := w.d.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("Stop took %v, want the 1s that the attempts had left", d)
		}
		w.wantCount("wh_1", webhook.Delivered, 16)
		w.wantCount("wh_1", webhook.Pending, 24)
		if n := w.store.claimedNow(); n != 0 {
			t.Errorf("%d deliveries are still claimed", n)
		}
	})
}

func TestStopCutsAttemptsShortWithoutUsingThemUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", hang)
		w.start()
		ids := w.publish("wh_1", 20)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.d.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v, want %v", err, context.DeadlineExceeded)
		}
		for _, id := range ids {
			d, attempts := w.store.delivery(id)
			if d.Status != webhook.Pending || d.Attempts != 0 || len(attempts) != 0 || d.NextAttemptAt.After(time.Now()) {
				t.Errorf("delivery %s is %s with %d attempts, due %v, want as it was", id, d.Status, d.Attempts, d.NextAttemptAt)
			}
		}
		if n := w.store.claimedNow(); n != 0 {
			t.Errorf("%d deliveries are still claimed", n)
		}
	})
}

func TestStopWaitsForOutcomesToBeCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.store.failWith(func(call string) error {
			if call == "finish" {
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		w.start()
		id := w.publish("wh_1", 1)[0]
		synctest.Wait()
		w.stop() // with a context that has ended
		w.wantStatus(id, webhook.Delivered, "")
	})
}

func TestLifeIsDefinedInEveryOrder(t *testing.T) {
	t.Run("stop before start", func(t *testing.T) {
		w := newWorld(t)
		if err := w.d.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := w.d.Start(); !errors.Is(err, dispatch.ErrStopped) {
			t.Errorf("Start: %v, want %v", err, dispatch.ErrStopped)
		}
	})
	t.Run("start twice", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		defer w.stop()
		if err := w.d.Start(); !errors.Is(err, dispatch.ErrStarted) {
			t.Errorf("Start: %v, want %v", err, dispatch.ErrStarted)
		}
	})
	t.Run("stop twice", func(t *testing.T) {
		w := newWorld(t)
		w.start()
		for range 2 {
			if err := w.d.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}
		w.d.Refresh("wh_1")
		w.d.RefreshAll()
		w.d.SetWorkers(3)
	})
	t.Run("the store refuses", func(t *testing.T) {
		w := newWorld(t)
		w.store.failWith(func(string) error { return queue.ErrUnavailable })
		if err := w.d.Start(); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("Start: %v, want %v", err, queue.ErrUnavailable)
		}
		w.store.failWith(nil)
		w.start()
		w.stop()
	})
}

func TestASecondStopCanLosePatienceFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", hang)
		w.start()
		w.publish("wh_1", 1)
		synctest.Wait()
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.d.Stop(context.Background()) })
		time.Sleep(time.Second)
		w.stop()
		wg.Wait()
		if d := time.Since(began); d != time.Second {
			t.Errorf("stopping took %v, want 1s", d)
		}
		w.wantCount("wh_1", webhook.Pending, 1)
	})
}

// TestLifeUnderStress lets everything happen at once; the race detector and the
// invariants judge.
func TestLifeUnderStress(t *testing.T) {
	for range 8 {
		w := newWorld(t)
		for i := range 20 {
			w.hooks.add(fmt.Sprintf("wh_%d", i), fmt.Sprintf("proj_%d", i%3), status(200))
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 200 {
					w.publish(fmt.Sprintf("wh_%d", (i+j)%20), 2)
				}
			})
		}
		wg.Go(func() {
			for i := range 100 {
				w.d.SetWorkers(1 + i%10)
				w.d.Refresh(fmt.Sprintf("wh_%d", i%20))
				w.d.RefreshAll()
			}
		})
		var started error
		wg.Go(func() { started = w.d.Start() })
		for range 2 {
			wg.Go(func() { _ = w.d.Stop(t.Context()) })
		}
		wg.Wait()
		if started != nil && !errors.Is(started, dispatch.ErrStopped) {
			t.Errorf("Start: %v", started)
		}
		delivered, pending := w.store.count("", webhook.Delivered), w.store.count("", webhook.Pending)
		if delivered+pending != 1600 || w.store.claimedNow() != 0 {
			t.Fatalf("%d delivered and %d pending of 1600, %d claimed", delivered, pending, w.store.claimedNow())
		}

		w.d = dispatch.New(w.opts) // what is left goes out after a restart
		w.start()
		deadline := time.Now().Add(10 * time.Second)
		for w.store.count("", webhook.Delivered) < 1600 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		w.stop()
		w.wantCount("", webhook.Delivered, 1600)
	}
}
