package dispatch_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

const day = 24 * time.Hour

func TestForwardClockJumpMakesRetriesDueWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fails := 50
		tr := w.hooks.add("wh_1", "proj_1", func(req *http.Request) (*http.Response, error) {
			if fails > 0 {
				fails--
				return response(500), nil
			}
			return after(10*time.Millisecond, 200)(req)
		})
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 1 })
		w.start()
		defer w.stop()
		w.publish("wh_1", 50)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Pending, 50)

		w.wall.jump(day)
		time.Sleep(1600 * time.Millisecond) // 1 s to notice, 50 times 10 ms
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 50)
		if n := tr.mostInFlight(); n != 1 {
			t.Errorf("%d attempts were in flight side by side, want 1", n)
		}
	})
}

func TestForwardClockJumpNeverRepeatsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", after(4*time.Second, 200))
		w.start()
		defer w.stop()
		w.publish("wh_1", 4)
		synctest.Wait()
		w.wall.jump(day) // every claim in flight is past its deadline now
		w.publish("wh_1", 4)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 8)
		if tr.overlaps != 0 || w.seen.lost != 0 || tr.count() != 8 {
			t.Errorf("%d attempts, %d overlapping, %d claims lost, want 8, 0, 0", tr.count(), tr.overlaps, w.seen.lost)
		}
	})
}

func TestBackwardClockJumpDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		defer w.stop()
		w.publish("wh_1", 1)
		synctest.Wait()
		w.wall.jump(-day)
		time.Sleep(66*time.Second + time.Millisecond)
		synctest.Wait()
		if n := tr.count(); n != 2 {
			t.Fatalf("%d attempts 66 s after the first, want 2", n)
		}
		w.publish("wh_1", 1) // by a clock that is a day behind
		synctest.Wait()
		if n := tr.count(); n != 3 {
			t.Errorf("a new event was not sent at once: %d attempts, want 3", n)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if n := tr.count(); n != 12 {
			t.Errorf("%d attempts in the end, want 12", n)
		}
	})
}

func TestClockThatWentBackWhileStoppedParksNothing(t *testing.T) {
	for name, c := range map[string]struct {
		retry   []time.Duration
		longest time.Duration // twice the longest step, with jitter
	}{
		"default schedule": {nil, 8*time.Hour + 48*time.Minute},
		"short schedule":   {[]time.Duration{time.Minute, 5 * time.Minute}, 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				add := func(code int) {
					w.hooks.add("wh_1", "proj_1", status(code))
					w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = c.retry })
				}
				add(500)
				w.start()
				ids := w.publish("wh_1", 20)
				synctest.Wait()
				w.stop()

				w.wall.jump(-10 * day)
				add(200)
				w.d = dispatch.New(w.opts)
				w.start()
				defer w.stop()
				id := w.publish("wh_1", 1)[0] // what is new is not affected
				synctest.Wait()
				w.wantStatus(id, webhook.Delivered, "")
				w.wantCount("wh_1", webhook.Delivered, 1)

				time.Sleep(c.longest + 10*time.Second) // they were spread over 6 s
				synctest.Wait()
				for _, id := range ids {
					w.wantStatus(id, webhook.Delivered, "")
				}
			})
		})
	}
}

func TestAScheduleMadeShorterOnAReloadLeavesTimesAsTheyStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{12 * time.Hour} })
		w.start()
		defer w.stop()
		w.publish("wh_1", 1)
		synctest.Wait()
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{time.Second} })
		w.d.RefreshAll()
		time.Sleep(12*time.Hour - time.Second)
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts within 12 hours, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := tr.count(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func TestAClockThatIsWrongForAWhileFailsNothing(t *testing.T) {
	for name, state := range map[string]dispatch.State{"active": dispatch.Active, "held": dispatch.Held} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var up atomic.Bool
				w.hooks.add("wh_1", "proj_1", func(*http.Request) (*http.Response, error) {
					if up.Load() {
						return response(200), nil
					}
					return response(500), nil
				})
				w.start()
				defer w.stop()
				time.Sleep(2 * time.Hour)
				w.publish("wh_1", 10)
				w.store.publish("wh_1", newEvent("proj_1", time.Now()), time.Now().Add(time.Hour)) // keeps the lane awake
				time.Sleep(time.Second)
				w.hooks.set("wh_1", state)
				w.d.Refresh("wh_1")

				w.wall.jump(40 * day)
				time.Sleep(30 * time.Minute)
				w.wantCount("wh_1", webhook.Failed, 0)
				w.publish("wh_1", 10)
				time.Sleep(5 * time.Second)
				w.wall.jump(-40 * day)
				w.wantCount("wh_1", webhook.Failed, 0)
				w.publish("wh_1", 10)
				time.Sleep(3 * time.Hour)
				w.publish("wh_1", 10)
				synctest.Wait()
				w.wantCount("wh_1", webhook.Failed, 0)

				up.Store(true)
				w.hooks.set("wh_1", dispatch.Active)
				w.d.Refresh("wh_1")
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				w.wantCount("wh_1", webhook.Delivered, 41)
			})
		})
	}
}

func TestAClockThatStaysAheadIsBelievedAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{2 * time.Hour, 7 * day, 7 * day} })
		w.start()
		defer w.stop()
		w.publish("wh_1", 10)
		time.Sleep(90 * time.Minute)
		w.wall.jump(31 * day) // the machine was suspended
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Pending, 10)
		if n := tr.count(); n != 20 {
			t.Errorf("%d attempts, want 20", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Failed, 10)
		if n := tr.count(); n != 20 {
			t.Errorf("%d attempts, want none for what has expired", n-20)
		}
	})
}
