package dispatch_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestHeldWebhookSendsNothingUntilItIsActiveAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		w.hooks.set("wh_1", dispatch.Held)
		w.start()
		defer w.stop()
		ids := w.publish("wh_1", 10)
		time.Sleep(day)
		synctest.Wait()
		if n := tr.count(); n != 0 {
			t.Errorf("%d attempts while held, want 0", n)
		}
		w.hooks.set("wh_1", dispatch.Active)
		w.d.Refresh("wh_1")
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Delivered, "")
		}
	})
}

func TestResumeLeavesOtherTimesAsTheyStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		defer w.stop()
		began := time.Now()
		w.publish("wh_1", 1)
		synctest.Wait() // the retry is due in a minute
		w.hooks.set("wh_1", dispatch.Held)
		w.d.Refresh("wh_1")
		time.Sleep(30 * time.Second)
		w.hooks.set("wh_1", dispatch.Active)
		w.d.Refresh("wh_1")
		time.Sleep(40 * time.Second)
		synctest.Wait()
		calls := tr.all()
		if len(calls) != 2 {
			t.Fatalf("%d attempts, want 2", len(calls))
		}
		if at := calls[1].at.Sub(began); at < time.Minute {
			t.Errorf("the retry came after %v, want 1m or more", at)
		}
	})
}

func TestDisabledWebhookSkipsAllPendingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		defer w.stop()
		retrying := w.publish("wh_1", 100)
		time.Sleep(time.Hour) // their next attempts lie hours ahead
		synctest.Wait()
		made := tr.count()

		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.DisabledReason = "manual" })
		w.hooks.set("wh_1", dispatch.Disabled)
		w.d.Refresh("wh_1")
		synctest.Wait()
		late := w.publish("wh_1", 1)[0]
		synctest.Wait()
		for _, id := range append(retrying, late) {
			w.wantStatus(id, webhook.Skipped, "manual")
		}
		if n := tr.count(); n != made {
			t.Errorf("%d attempts after the webhook was disabled, want 0", n-made)
		}
		if d, _ := w.store.delivery(retrying[0]); d.Attempts == 0 || d.Step != d.Attempts {
			t.Errorf("attempts %d and steps %d of a skipped delivery changed", d.Attempts, d.Step)
		}
	})
}

func TestDeliveriesOfAnUnknownWebhookAreCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(500))
		w.start()
		defer w.stop()
		ids := append(w.publish("wh_1", 3), w.publish("wh_none", 2)...)
		synctest.Wait()
		delete(w.hooks.m, "wh_1") // deleted while retries are pending
		w.d.Refresh("wh_1")
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Cancelled, "")
		}
	})
}

func TestDeliveryOfAnEventOlderThanThirtyDaysFails(t *testing.T) {
	for name, state := range map[string]dispatch.State{"active": dispatch.Active, "held": dispatch.Held} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tr := w.hooks.add("wh_1", "proj_1", status(500))
				w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{time.Second, 4 * day} })
				old := newEvent("proj_1", time.Now().Add(-29*day))
				var ids []string
				for range 20 {
					ids = append(ids, w.store.publish("wh_1", old, time.Now()))
				}
				w.start()
				defer w.stop()
				time.Sleep(time.Hour) // two attempts each, the third is 4 days ahead
				w.hooks.set("wh_1", state)
				w.d.Refresh("wh_1")
				younger := w.publish("wh_1", 1)[0]
				time.Sleep(day - time.Hour - time.Minute)
				synctest.Wait()
				for _, id := range ids {
					w.wantStatus(id, webhook.Pending, "")
				}
				made := tr.count()
				time.Sleep(time.Minute + time.Hour + time.Minute) // a held webhook is looked at once an hour
				synctest.Wait()
				for _, id := range ids {
					w.wantStatus(id, webhook.Failed, "expired")
				}
				w.wantStatus(younger, webhook.Pending, "")
				if n := tr.count() - made; n != 0 {
					t.Errorf("%d attempts for what has expired, want 0", n)
				}
			})
		})
	}
}

func TestGatewayFaultsUseUpNoAttemptAndBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mended atomic.Bool
		tr := w.hooks.add("wh_1", "proj_1", func(*http.Request) (*http.Response, error) {
			if !mended.Load() {
				return nil, gatewayFault
			}
			return response(200), nil
		})
		w.start()
		defer w.stop()
		ids := w.publish("wh_1", 40)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		first := 0
		for _, c := range tr.all() {
			if c.at.Equal(tr.all()[0].at) {
				first++
			}
			if c.attempt != "1" {
				t.Fatalf("x-tengine-attempt is %s after nothing but gateway faults, want 1", c.attempt)
			}
		}
		var waits []time.Duration
		calls := tr.all()[first-1:]
		for i := range calls[1:] {
			waits = append(waits, calls[i+1].at.Sub(calls[i].at))
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if waits[i] != want*time.Second {
				t.Errorf("try %d came %v after the one before, want %v", i+2, waits[i], want*time.Second)
			}
		}
		w.wantCount("wh_1", webhook.Pending, 40)

		mended.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Delivered, "")
			if d, _ := w.store.delivery(id); d.Attempts != 1 {
				t.Errorf("delivery %s has %d attempts, want 1", id, d.Attempts)
			}
		}
		if len(w.seen.notMade) == 0 {
			t.Error("the observer was not told of the faults")
		}
	})
}

// The store ends claims by the time it is told, those of other webhooks too.
func TestWhatEndsAheadOfItsTimeTellsTheStoreNoOtherTime(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"disabled": func(w *world) {
			w.hooks.set("wh_1", dispatch.Disabled)
			w.d.Refresh("wh_1")
			synctest.Wait()
			w.wantCount("wh_1", webhook.Skipped, 20)
		},
		"due beyond the schedule": func(w *world) {
			id := w.store.publish("wh_1", newEvent("proj_1", w.wall.now()), w.wall.now().Add(3*day))
			time.Sleep(20 * time.Hour)
			if d, _ := w.store.delivery(id); d.Attempts == 0 {
				w.t.Error("nothing was attempted")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.hooks.add("wh_1", "proj_1", status(500))
				w.start()
				defer w.stop()
				w.publish("wh_1", 20)
				time.Sleep(time.Hour) // their next attempts lie hours ahead
				end(w)
				w.store.mu.Lock()
				defer w.store.mu.Unlock()
				if ahead := w.store.clock.Sub(w.wall.now()); ahead > 0 {
					t.Errorf("a claim said that it is %v later than it is", ahead)
				}
			})
		})
	}
}

// A webhook can be resumed at the very moment of one of its turns.
func TestAChangeDuringATurnIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var resume func()
		w := newWorld(t, func(o *dispatch.Options) { o.Receivers = resumedMeanwhile{o.Receivers, &resume} })
		w.hooks.add("wh_1", "proj_1", status(200))
		w.hooks.set("wh_1", dispatch.Held)
		resume = func() {
			resume = func() {}
			w.hooks.set("wh_1", dispatch.Active)
			w.d.Refresh("wh_1")
		}
		id := w.publish("wh_1", 1)[0]
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
	})
}

// resumedMeanwhile are Receivers whose webhook changes after it was looked at and
// before that is told.
type resumedMeanwhile struct {
	dispatch.Receivers
	change *func()
}

func (r resumedMeanwhile) Receiver(webhookID string) (*dispatch.Receiver, dispatch.State) {
	receiver, state := r.Receivers.Receiver(webhookID)
	(*r.change)()
	return receiver, state
}

// A webhook that was disabled has no attempts that could show that the fault is over.
func TestAFaultDoesNotSlowDownWhatEndsWithoutAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.hooks.set("wh_1", dispatch.Disabled)
		var full atomic.Bool
		full.Store(true)
		w.store.failWith(func(call string) error {
			switch {
			case call == "claim" && full.Load():
				return queue.ErrFull
			case call == "finish":
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		})
		w.publish("wh_1", 3000)
		w.start()
		defer w.stop()
		time.Sleep(500 * time.Millisecond)
		full.Store(false)
		time.Sleep(5 * time.Second) // 16 at a time take 2 s
		synctest.Wait()
		w.wantCount("wh_1", webhook.Pending, 0)
	})
}
