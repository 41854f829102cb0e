package dispatch_test

import (
	"net/http"
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
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		ids := w.publish("wh_1", 20)
		synctest.Wait()
		w.stop()

		w.wall.jump(-10 * day)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.d = dispatch.New(w.opts)
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0] // what is new is not affected
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		w.wantCount("wh_1", webhook.Delivered, 1)

		time.Sleep(9 * time.Hour) // the longest wait a schedule gives is 8h48m
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Delivered, "")
		}
	})
}
