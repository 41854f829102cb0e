package dispatch_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestConcurrencyOfAWebhookIsNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 5 })
		w.start()
		defer w.stop()
		began := time.Now()
		w.publish("wh_1", 50)
		for range 95 {
			time.Sleep(100 * time.Millisecond)
			w.d.Refresh("wh_1")
			w.d.RefreshAll()
		}
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 50)
		if got := tr.mostInFlight(); got != 5 {
			t.Errorf("%d attempts were in flight side by side, want 5", got)
		}
		if d := time.Since(began); d > 11*time.Second {
			t.Errorf("it took %v, want the slots to be used", d)
		}
	})
}

func TestASlowCommitKeepsTheWorkerButNotTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 8 })
		tr := w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 2 })
		var slow atomic.Bool
		slow.Store(true)
		var finishes atomic.Int32
		w.store.failWith(func(call string) error {
			if call != "finish" || !slow.Load() {
				return nil
			}
			time.Sleep(10 * time.Second)
			switch finishes.Add(1) % 5 {
			case 3:
				return errors.New("conflict")
			case 4:
				panic("boom")
			}
			return nil
		})
		w.start()
		w.publish("wh_1", 40)
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		if n := tr.count(); n != 8 {
			t.Errorf("%d attempts while nothing is committed, want 2 a second until all 8 workers wait", n)
		}
		for range 120 {
			if n := w.d.InFlight(); n > 8 {
				t.Errorf("%d workers are busy, want at most 8", n)
			}
			time.Sleep(time.Second)
		}
		slow.Store(false)
		time.Sleep(5 * time.Minute) // claims that were not ended run out
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 40)
		if n := tr.mostInFlight(); n != 2 {
			t.Errorf("%d attempts were in flight side by side, want 2", n)
		}
		if tr.overlaps != 0 || w.seen.lost != 0 {
			t.Errorf("%d attempts overlapped, %d claims were lost, want none", tr.overlaps, w.seen.lost)
		}
		if lanes, _ := w.d.Remembered(); lanes != 0 || w.d.InFlight() != 0 {
			t.Errorf("%d lanes and %d workers have something in flight, want none", lanes, w.d.InFlight())
		}
		w.stop()
	})
}

func TestConcurrencyChangesLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
		set := func(n int) {
			w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = n })
			w.d.Refresh("wh_1")
		}
		inFlight := func() int {
			synctest.Wait()
			return w.d.InFlight()
		}
		set(4)
		w.start()
		defer w.stop()
		w.publish("wh_1", 100)
		if n := inFlight(); n != 4 {
			t.Errorf("%d in flight, want 4", n)
		}
		set(10)
		if n := inFlight(); n != 10 {
			t.Errorf("%d in flight after more were allowed, want 10", n)
		}
		set(2)
		time.Sleep(1500 * time.Millisecond)
		if n := inFlight(); n != 2 {
			t.Errorf("%d in flight after fewer were allowed, want 2", n)
		}
		if n := tr.mostInFlight(); n != 10 {
			t.Errorf("%d in flight at most, want 10", n)
		}
	})
}

func TestWorkersBoundAttemptsInFlightAndChangeLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 8 })
		hooks := []string{"wh_1", "wh_2", "wh_3"}
		for _, id := range hooks {
			w.hooks.add(id, "proj_1", after(time.Second, 200))
		}
		inFlight := func() (n int) {
			synctest.Wait()
			for _, id := range hooks {
				tr := w.hooks.m[id].transport
				tr.mu.Lock()
				n += len(tr.inflight)
				tr.mu.Unlock()
			}
			return n
		}
		w.start()
		defer w.stop()
		for _, id := range hooks {
			w.publish(id, 100)
		}
		for _, step := range []struct{ workers, want int }{{8, 8}, {20, 20}, {3, 3}, {0, 1}, {48, 48}} {
			w.d.SetWorkers(step.workers)
			time.Sleep(1100 * time.Millisecond)
			if n := inFlight(); n != step.want {
				t.Errorf("%d in flight with %d workers, want %d", n, step.workers, step.want)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantCount("", webhook.Delivered, 300)
		if n := w.d.InFlight(); n != 0 {
			t.Errorf("%d workers are busy without work", n)
		}
	})
}

func TestRateLimitSpreadsAttempts(t *testing.T) {
	for name, rate := range map[string]webhook.Rate{
		"50/s":   {N: 50, Per: time.Second},
		"100/m":  {N: 100, Per: time.Minute},
		"2000/s": {N: 2000, Per: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tr := w.hooks.add("wh_1", "proj_1", status(200))
				w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Rate = rate })
				w.start()
				defer w.stop()
				n := 3 * rate.N
				w.publish("wh_1", n)
				time.Sleep(3 * rate.Per)
				synctest.Wait()
				calls := tr.all()
				if len(calls) < n {
					t.Errorf("%d attempts in %v, want %d", len(calls), 3*rate.Per, n)
				}
				allowed := rate.N + max(1, rate.N/100)
				for i, c := range calls {
					if i >= allowed && c.at.Sub(calls[i-allowed].at) < rate.Per {
						t.Fatalf("%d attempts within %v, want at most %d", allowed+1, c.at.Sub(calls[i-allowed].at), allowed)
					}
				}
			})
		})
	}
}

func TestRateLimitSurvivesIdleTimeReloadAndClockJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		limit := func(*webhook.Subscription) {}
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Rate = webhook.Rate{N: 1, Per: time.Minute} })
		w.start()
		defer w.stop()
		w.publish("wh_1", 1)
		synctest.Wait() // nothing is pending: the lane has no work

		w.hooks.change("wh_1", limit) // a new generation
		w.d.RefreshAll()
		w.publish("wh_1", 2)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts in the first minute, want 1", n)
		}
		w.wall.jump(day)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := tr.count(); n != 2 {
			t.Errorf("%d attempts after a jump of a day, want 2: it fills one minute's allowance", n)
		}
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Rate = webhook.Rate{} })
		w.d.Refresh("wh_1")
		synctest.Wait()
		if n := tr.count(); n != 3 {
			t.Errorf("%d attempts after the limit was lifted, want 3", n)
		}
	})
}

func TestAnotherRateTakesOverWhatWasUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		limit := func(n int, per time.Duration) {
			w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Rate = webhook.Rate{N: n, Per: per} })
			w.d.RefreshAll()
		}
		limit(1, time.Minute)
		w.start()
		defer w.stop()
		w.publish("wh_1", 4)
		synctest.Wait()
		for range 20 { // reloads give nothing for free
			limit(2, time.Minute)
			limit(1, time.Minute)
		}
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts after reloads with other rates, want 1", n)
		}
		time.Sleep(30 * time.Second)
		limit(1, time.Second)
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts, want 1: half of the allowance is missing", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := tr.count(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func TestWhatHasNoWorkIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		defer w.stop()
		for i := range 100 {
			id := fmt.Sprintf("wh_%d", i)
			w.hooks.add(id, fmt.Sprintf("proj_%d", i%7), status(200))
			if i == 0 {
				w.hooks.change(id, func(s *webhook.Subscription) { s.Rate = webhook.Rate{N: 1, Per: time.Hour} })
			}
			w.publish(id, 1)
		}
		w.publish("wh_unknown", 10)
		synctest.Wait()
		if lanes, projects := w.d.Remembered(); lanes != 1 || projects != 1 {
			t.Errorf("%d lanes and %d projects are remembered, want the one whose rate limit is used up", lanes, projects)
		}
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if lanes, projects := w.d.Remembered(); lanes != 0 || projects != 0 {
			t.Errorf("%d lanes and %d projects are remembered, want none", lanes, projects)
		}
	})
}

func TestABacklogWeighsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", hang)
		w.publish("wh_1", 20_000)
		w.start()
		defer w.stop()
		synctest.Wait()
		if n := w.store.claimedNow(); n != 16 {
			t.Errorf("%d deliveries are claimed, want the 16 in flight", n)
		}
		if lanes, _ := w.d.Remembered(); lanes != 1 {
			t.Errorf("%d lanes, want 1", lanes)
		}
	})
}
