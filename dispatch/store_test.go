package dispatch_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// diskWorld is a world over the store that is used in production.
type diskWorld struct {
	*world
	dir   string
	store *badgerstore.Store
}

func newDiskWorld(t *testing.T) *diskWorld {
	w := &diskWorld{world: newWorld(t), dir: t.TempDir()}
	w.open()
	return w
}

func (w *diskWorld) open() {
	w.t.Helper()
	s, err := badgerstore.Open(badgerstore.Options{Dir: w.dir})
	if err != nil {
		w.t.Fatalf("Open: %v", err)
	}
	w.store, w.opts.Store = s, s
	w.d = dispatch.New(w.opts)
	w.start()
}

func (w *diskWorld) close() {
	w.t.Helper()
	w.stop()
	if err := w.store.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// publish stores n events, each for all the given webhooks.
func (w *diskWorld) publish(from, n int, webhookIDs ...string) {
	w.t.Helper()
	pubs := make([]queue.Publication, n)
	for i := range pubs {
		ev := newEvent("proj_1", time.Now())
		ev.ID = fmt.Sprintf("evt_%d", from+i)
		pubs[i].Event = ev
		for _, id := range webhookIDs {
			pubs[i].Targets = append(pubs[i].Targets, queue.Target{WebhookID: id, Status: webhook.Pending})
		}
	}
	if _, err := w.store.Publish(w.t.Context(), pubs); err != nil {
		w.t.Fatalf("Publish: %v", err)
	}
}

// wantAll checks the status of all deliveries of a webhook and returns them.
func (w *diskWorld) wantAll(webhookID string, status webhook.Status, want int) []webhook.Delivery {
	w.t.Helper()
	var all []webhook.Delivery
	for q := (queue.DeliveryQuery{WebhookID: webhookID, Limit: 200}); ; {
		page, err := w.store.Deliveries(w.t.Context(), q)
		if err != nil {
			w.t.Fatalf("Deliveries: %v", err)
		}
		for _, d := range page.Deliveries {
			if d.Status == status {
				all = append(all, d)
			}
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	if len(all) != want {
		w.t.Errorf("webhook %s has %d deliveries %s, want %d", webhookID, len(all), status, want)
	}
	return all
}

func TestScheduleOverTheRealStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDiskWorld(t)
		defer w.close()
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = queue.DefaultSchedule()[:3] })
		w.publish(0, 3, "wh_1")
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if n := tr.count(); n != 12 {
			t.Errorf("%d attempts, want 12", n)
		}
		for _, d := range w.wantAll("wh_1", webhook.Failed, 3) {
			attempts, err := w.store.Attempts(t.Context(), d.ID)
			if err != nil || len(attempts) != 4 {
				t.Errorf("%d attempts are recorded of %s (%v), want 4", len(attempts), d.ID, err)
			}
		}
	})
}

func TestRestartOverTheRealStoreLosesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDiskWorld(t)
		var failures atomic.Int32
		flaky := w.hooks.add("wh_flaky", "proj_1", func(*http.Request) (*http.Response, error) {
			if failures.Add(1) <= 100 {
				return response(503), nil
			}
			return response(200), nil
		})
		slow := w.hooks.add("wh_slow", "proj_1", after(4*time.Second, 200))
		w.hooks.add("wh_hang", "proj_1", hang)
		w.hooks.add("wh_off", "proj_1", status(200))
		w.hooks.set("wh_off", dispatch.Disabled)
		w.hooks.add("wh_held", "proj_1", status(200))
		w.hooks.set("wh_held", dispatch.Held)
		hooks := []string{"wh_flaky", "wh_slow", "wh_hang", "wh_off", "wh_held", "wh_unknown"}

		w.publish(0, 100, hooks...)
		time.Sleep(10 * time.Second)
		w.close() // cuts attempts short
		w.open()
		w.publish(100, 50, hooks...)
		time.Sleep(2 * time.Minute)
		synctest.Wait()

		w.wantAll("wh_flaky", webhook.Delivered, 150)
		if n := flaky.count(); n != 250 {
			t.Errorf("%d attempts to the flaky receiver, want 250", n)
		}
		w.wantAll("wh_slow", webhook.Delivered, 150)
		if n := slow.count(); n > 150+16 {
			t.Errorf("%d attempts to the slow receiver, want at most the 16 in flight repeated", n)
		}
		w.wantAll("wh_off", webhook.Skipped, 150)
		w.wantAll("wh_unknown", webhook.Cancelled, 150)
		w.wantAll("wh_held", webhook.Pending, 150)
		w.wantAll("wh_hang", webhook.Pending, 150)
		if flaky.overlaps+slow.overlaps > 0 {
			t.Error("attempts of one delivery overlapped")
		}
		w.close()
	})
}

func TestDisabledWebhookSkipsRetriesAheadOfTimeOverTheRealStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDiskWorld(t)
		defer w.close()
		w.hooks.add("wh_1", "proj_1", status(500))
		w.publish(0, 300, "wh_1")
		time.Sleep(2 * time.Minute) // the third attempts are minutes ahead
		w.hooks.set("wh_1", dispatch.Disabled)
		w.d.Refresh("wh_1")
		time.Sleep(time.Second)
		synctest.Wait()
		w.wantAll("wh_1", webhook.Skipped, 300)
		if n := w.store.Backlog("wh_1"); n != 0 {
			t.Errorf("backlog %d, want 0", n)
		}
	})
}

func TestWhatEndsAheadOfTimeIsFinishedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDiskWorld(t)
		defer w.close()
		w.hooks.add("wh_off", "proj_1", status(500))
		w.hooks.add("wh_deleted", "proj_1", status(500))
		w.publish(0, 2, "wh_off", "wh_deleted")
		w.wall.jump(day) // what finished_at shows is the wall clock, also when it goes back
		time.Sleep(30 * time.Minute)
		w.wall.jump(-day)
		w.hooks.set("wh_off", dispatch.Disabled)
		delete(w.hooks.m, "wh_deleted")
		w.d.RefreshAll() // the next attempts lie an hour ahead
		synctest.Wait()
		now := time.Now()
		for _, d := range append(w.wantAll("wh_off", webhook.Skipped, 2), w.wantAll("wh_deleted", webhook.Cancelled, 2)...) {
			if !d.FinishedAt.Equal(now) {
				t.Errorf("delivery %s was finished at %v, want %v", d.ID, d.FinishedAt, now)
			}
		}
		for _, r := range w.seen.reports {
			if r.Latency > time.Hour && r.Status != webhook.Pending {
				t.Errorf("latency %v, want less than an hour", r.Latency)
			}
		}
	})
}

func TestForwardClockJumpOverTheRealStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDiskWorld(t)
		defer w.close()
		tr := w.hooks.add("wh_1", "proj_1", after(4*time.Second, 200))
		w.publish(0, 4, "wh_1")
		time.Sleep(time.Second)
		w.wall.jump(day)
		w.publish(4, 4, "wh_1")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		w.wantAll("wh_1", webhook.Delivered, 8)
		if tr.overlaps != 0 || w.seen.lost != 0 || tr.count() != 8 {
			t.Errorf("%d attempts, %d overlapping, %d claims lost, want 8, 0, 0", tr.count(), tr.overlaps, w.seen.lost)
		}
	})
}
