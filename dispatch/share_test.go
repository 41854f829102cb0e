package dispatch_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

// A receiver may take 27 s for each answer, on purpose, and its webhook may have
// any concurrency.
func TestASlowReceiverLeavesWorkersToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 256 })
		slow := func(id, project string) *fakeTransport {
			h := w.hooks.add(id, project, after(27*time.Second, 200))
			w.hooks.change(id, func(s *webhook.Subscription) { s.Concurrency, s.Timeout = 1000, 30*time.Second })
			w.publish(id, 2000)
			return h
		}
		first := slow("wh_slow", "proj_slow")
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		if n := first.mostInFlight(); n != 128 {
			t.Errorf("a webhook alone holds %d of 256 workers, want half", n)
		}
		inTime := func(id, project string) {
			t.Helper()
			w.hooks.add(id, project, after(10*time.Millisecond, 200))
			delivery := w.publish(id, 1)[0]
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			w.wantStatus(delivery, webhook.Delivered, "")
		}
		inTime("wh_same", "proj_slow")
		inTime("wh_other", "proj_other")
		for i := range 10 { // the project's others can take their time, too
			slow(fmt.Sprintf("wh_slow_%d", i), "proj_slow")
		}
		time.Sleep(time.Second)
		if n := w.d.InFlight(); n < 160 || n > 171 {
			t.Errorf("a project alone holds %d of 256 workers, want two thirds", n)
		}
		inTime("wh_other_2", "proj_other_2")
		slow("wh_slow_too", "proj_slow_too")
		time.Sleep(time.Second)
		inTime("wh_other_3", "proj_other_3")

		time.Sleep(2 * time.Hour)
		synctest.Wait()
		w.wantCount("", webhook.Pending, 0) // nothing stays aside
	})
}

// Whatever becomes of webhooks meanwhile, none is left aside.
func TestNobodyIsLeftAside(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *dispatch.Options) { o.Workers = 64 })
			rng := rand.New(rand.NewPCG(seed, 1))
			const hooks = 40
			id := func() string { return fmt.Sprintf("wh_%d", rng.IntN(hooks)) }
			for i := range hooks {
				id := fmt.Sprintf("wh_%d", i)
				takes := time.Duration(rng.IntN(10_000)) * time.Millisecond
				w.hooks.add(id, fmt.Sprintf("proj_%d", rng.IntN(4)), after(takes, 200))
				w.hooks.change(id, func(s *webhook.Subscription) { s.Concurrency, s.Timeout = 100, 30*time.Second })
			}
			w.start()
			defer w.stop()
			for range 300 {
				switch id := id(); rng.IntN(10) {
				case 0:
					w.hooks.set(id, []dispatch.State{dispatch.Active, dispatch.Held, dispatch.Disabled}[rng.IntN(3)])
					w.d.RefreshAll()
				case 1:
					w.hooks.move(id, fmt.Sprintf("proj_%d", rng.IntN(4)))
				default:
					w.publish(id, 1+rng.IntN(20))
				}
				time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
				synctest.Wait()
				if stuck := w.d.LeftAside(); len(stuck) > 0 {
					t.Fatalf("seed %d: lanes of %v are aside and nothing will bring them back", seed, stuck)
				}
			}
			for i := range hooks {
				w.hooks.set(fmt.Sprintf("wh_%d", i), dispatch.Active)
				w.d.RefreshAll()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			w.wantCount("", webhook.Pending, 0)
			if n := w.d.InFlight(); n != 0 {
				t.Errorf("%d workers are busy", n)
			}
		})
	}
}

// Turns that come to nothing bring back lanes as attempts that end do.
func TestLanesAsideComeBackWithoutAnAttempt(t *testing.T) {
	for name, change := range map[string]func(w *world, id string){
		"held":  func(w *world, id string) { w.hooks.set(id, dispatch.Held) },
		"moved": func(w *world, id string) { w.hooks.move(id, "proj_2") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *dispatch.Options) { o.Workers = 64 })
				const hooks = 1000
				for i := range hooks {
					id := fmt.Sprintf("wh_%d", i)
					w.hooks.add(id, "proj_1", after(5*time.Second, 200))
					w.publish(id, 1)
				}
				w.start()
				defer w.stop()
				time.Sleep(time.Second)
				for i := range hooks {
					change(w, fmt.Sprintf("wh_%d", i))
				}
				w.d.RefreshAll()
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if stuck := w.d.LeftAside(); len(stuck) > 0 {
					t.Fatalf("lanes of %v are aside and nothing will bring them back", stuck)
				}
				for i := range hooks {
					w.hooks.set(fmt.Sprintf("wh_%d", i), dispatch.Active)
				}
				w.d.RefreshAll()
				time.Sleep(time.Hour)
				synctest.Wait()
				w.wantCount("", webhook.Pending, 0)
			})
		})
	}
}

// A turn takes workers for more deliveries than there are, until the store has
// said how many. Whoever had to stand aside meanwhile comes back at once.
func TestWorkersThatATurnDidNotNeedServeThoseAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 64 })
		w.store.failWith(func(call string) error {
			if call == "claim" {
				time.Sleep(time.Millisecond) // so that the turns overlap
			}
			return nil
		})
		const hooks = 20
		for i := range hooks {
			id := fmt.Sprintf("wh_%d", i)
			w.hooks.add(id, "proj_1", after(27*time.Second, 200))
			w.hooks.change(id, func(s *webhook.Subscription) { s.Timeout = 30 * time.Second })
			w.publish(id, 1)
		}
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := w.d.InFlight(); n != hooks {
			t.Errorf("%d attempts in flight, want those of all %d webhooks", n, hooks)
		}
	})
}

// What stands aside with few workers need not wait for an attempt to end when
// there are more.
func TestMoreWorkersServeThoseAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 64 })
		for i := range 3 {
			id := fmt.Sprintf("wh_%d", i)
			w.hooks.add(id, "proj_1", after(27*time.Second, 200))
			w.hooks.change(id, func(s *webhook.Subscription) { s.Concurrency, s.Timeout = 1000, 30*time.Second })
			w.publish(id, 1000)
		}
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		if n := w.d.InFlight(); n < 36 || n > 43 {
			t.Errorf("three webhooks of a project hold %d of 64 workers, want most of two thirds", n)
		}
		w.d.SetWorkers(256)
		time.Sleep(time.Second)
		if n := w.d.InFlight(); n < 150 || n > 171 {
			t.Errorf("three webhooks of a project hold %d of 256 workers, want most of two thirds", n)
		}
	})
}
