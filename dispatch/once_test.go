package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// claimOne claims a delivery whatever its status, as queue.Store.ClaimOne does.
func (s *memStore) claimOne(id string, until time.Time) queue.Claimed {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[id]
	h := s.hook(d.WebhookID)
	for i := range h.queues {
		for k, q := range h.queues[i] {
			if q == d {
				h.queues[i].remove(k)
				break
			}
		}
	}
	s.tokens++
	d.claim = &queue.Claim{DeliveryID: id, WebhookID: d.WebhookID, Token: s.tokens, Until: until}
	if d.Status == webhook.Pending {
		h.claimed[id] = d
	}
	return queue.Claimed{Claim: *d.claim, Delivery: d.Delivery, Event: d.event}
}

func (w *world) once(id string) error {
	return w.d.Once(w.store.claimOne(id, time.Now().Add(dispatch.OnceClaim)), webhook.Manually, func(bool) {})
}

func TestOnceUsesUpNoStepAndLeavesTheNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		synctest.Wait()
		before, _ := w.store.delivery(id)
		for range 3 {
			if err := w.once(id); err != nil {
				t.Fatalf("Once: %v", err)
			}
			synctest.Wait()
		}
		got, attempts := w.store.delivery(id)
		if got.Status != webhook.Pending || got.Step != 1 || got.Attempts != 4 || !got.NextAttemptAt.Equal(before.NextAttemptAt) {
			t.Errorf("after three attempts by hand: %+v, want pending, step 1, 4 attempts, next at %v", got, before.NextAttemptAt)
		}
		if a := attempts[3]; a.Trigger != webhook.Manually || a.Number != 4 {
			t.Errorf("attempt is number %d by %q, want 4 by manual", a.Number, a.Trigger)
		}
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if got, attempts := w.store.delivery(id); got.Step != 2 || attempts[4].Trigger != webhook.BySchedule {
			t.Errorf("step %d after the schedule's retry, want 2", got.Step)
		}
		tr.answer = status(200)
		if err := w.once(id); err != nil {
			t.Fatalf("Once: %v", err)
		}
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		time.Sleep(time.Hour) // the store has told of the retry that was due
		synctest.Wait()
		if lanes, _ := w.d.Remembered(); lanes != 0 {
			t.Errorf("%d lanes are remembered, want none", lanes)
		}
	})
}

func TestOnceSendsForWebhooksThatAreNotActive(t *testing.T) {
	for _, state := range []dispatch.State{dispatch.Held, dispatch.Disabled} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			tr := w.hooks.add("wh_1", "proj_1", status(500))
			w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{} })
			w.start()
			defer w.stop()
			id := w.publish("wh_1", 1)[0]
			synctest.Wait()
			w.wantStatus(id, webhook.Failed, "")
			w.hooks.set("wh_1", state)
			if err := w.once(id); err != nil {
				t.Fatalf("Once: %v", err)
			}
			synctest.Wait()
			w.wantStatus(id, webhook.Failed, "")
			tr.answer = status(200)
			if err := w.once(id); err != nil {
				t.Fatalf("Once: %v", err)
			}
			synctest.Wait()
			w.wantStatus(id, webhook.Delivered, "")
		})
	}
}

func TestOnceRefusesAndStopWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
		w.start()
		ids := append(w.publish("wh_1", 1), w.publish("wh_none", 1)...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := w.once(ids[1]); !errors.Is(err, dispatch.ErrNoReceiver) {
			t.Errorf("Once for an unknown webhook: %v, want ErrNoReceiver", err)
		}
		var ended []bool
		c := w.store.claimOne(ids[0], time.Now().Add(dispatch.OnceClaim))
		if err := w.d.Once(c, webhook.Manually, func(recorded bool) { ended = append(ended, recorded) }); err != nil {
			t.Errorf("Once: %v", err)
		}
		synctest.Wait()
		if err := w.d.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if d, _ := w.store.delivery(ids[0]); d.Attempts != 2 || !slices.Equal(ended, []bool{true}) {
			t.Errorf("%d attempts after Stop, ended with %v, want it to wait for the second to be recorded", d.Attempts, ended)
		}
		if err := w.once(ids[0]); !errors.Is(err, dispatch.ErrStopped) {
			t.Errorf("Once after Stop: %v, want ErrStopped", err)
		}
	})
}

func TestOnceTellsWhenItLeavesNoTrace(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"cut short by a stop": func(w *world) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = w.d.Stop(ctx) // that it was cut short
		},
		"not recorded": func(w *world) {
			w.store.failWith(func(call string) error {
				if call == "finish" {
					return queue.ErrUnavailable
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
				w.start()
				defer w.stop()
				id := w.publish("wh_1", 1)[0]
				time.Sleep(2 * time.Second)
				synctest.Wait()
				var ended []bool
				c := w.store.claimOne(id, time.Now().Add(dispatch.OnceClaim))
				if err := w.d.Once(c, webhook.Manually, func(recorded bool) { ended = append(ended, recorded) }); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				end(w)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if d, _ := w.store.delivery(id); d.Attempts != 1 || !slices.Equal(ended, []bool{false}) {
					t.Errorf("%d attempts, ended with %v, want one and false", d.Attempts, ended)
				}
			})
		})
	}
}

func TestAReplayedDeliveryIsTriggeredByTheReplayAndAgesFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.hooks.set("wh_1", dispatch.Held)
		old := newEvent("proj_1", time.Now().Add(-300*day))
		id := w.store.publish("wh_1", old, time.Now())
		expired := w.store.publish("wh_1", old, time.Now())
		w.store.mu.Lock()
		w.store.deliveries[id].ReplayedAt = time.Now()
		w.store.mu.Unlock()
		w.start()
		defer w.stop()
		time.Sleep(day)
		w.hooks.set("wh_1", dispatch.Active)
		w.d.Refresh("wh_1")
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		w.wantStatus(expired, webhook.Failed, "expired")
		if _, attempts := w.store.delivery(id); attempts[0].Trigger != webhook.ByReplay {
			t.Errorf("the trigger is %q, want replay", attempts[0].Trigger)
		}
	})
}

func TestWhatExpiresWhileAWebhookIsParkedIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.hooks.set("wh_1", dispatch.Parked)
		w.start()
		defer w.stop()
		id := w.store.publish("wh_1", newEvent("proj_1", time.Now().Add(-29*day)), time.Now())
		time.Sleep(23 * time.Hour)
		w.wantStatus(id, webhook.Pending, "")
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		w.wantStatus(id, webhook.Cancelled, "expired")
	})
}

// Also if the webhook had nothing to do before.
func TestTheRateLimitCountsAttemptsByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		synctest.Wait()
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Rate = webhook.Rate{N: 1, Per: time.Minute} })
		w.d.Refresh("wh_1")
		synctest.Wait()
		began := time.Now()
		if err := w.once(id); err != nil {
			t.Fatalf("Once: %v", err)
		}
		synctest.Wait()
		w.publish("wh_1", 1)
		time.Sleep(2 * time.Minute)
		calls := tr.all()
		if len(calls) != 3 {
			t.Fatalf("%d attempts, want 3", len(calls))
		}
		if wait := calls[2].at.Sub(began); wait < time.Minute-time.Second {
			t.Errorf("the next attempt came %v after one by hand, with one a minute", wait)
		}
	})
}
