package dispatch_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// gatewayFault is what egress says when the fault is not the receiver's.
var gatewayFault = &egress.Error{Outcome: webhook.Connect, Text: "the gateway could not send", GatewayFault: true}

func TestAPanicWhileSendingIsAFailedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_bad", "proj_1", func(*http.Request) (*http.Response, error) { panic("boom") })
		w.hooks.add("wh_good", "proj_1", status(200))
		w.start()
		defer w.stop()
		bad := w.publish("wh_bad", 1)[0]
		w.publish("wh_good", 10)
		synctest.Wait()
		w.wantCount("wh_good", webhook.Delivered, 10)
		d, attempts := w.store.delivery(bad)
		if d.Status != webhook.Pending || len(attempts) != 1 || attempts[0].Outcome != webhook.Panicked {
			t.Errorf("delivery is %s after %+v, want pending after one panic", d.Status, attempts)
		}
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		w.wantStatus(bad, webhook.Failed, "")
	})
}

func TestPanicsAroundAnAttemptAreContained(t *testing.T) {
	for _, where := range []string{"settled", "finish", "claim", "receiver"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.hooks.add("wh_1", "proj_1", status(200))
				var panics atomic.Int32
				boom := func(what string) {
					if what == where && panics.Add(1) <= 20 {
						panic("boom")
					}
				}
				w.seen.hook = boom
				w.store.failWith(func(call string) error { boom(call); return nil })
				w.opts.Receivers = receiverFunc(func(id string) (*dispatch.Receiver, dispatch.State) {
					boom("receiver")
					return w.hooks.Receiver(id)
				})
				w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 1 })
				w.d = dispatch.New(w.opts)
				w.start()
				defer w.stop()
				w.publish("wh_1", 30)
				for range 40 {
					time.Sleep(5 * time.Minute) // claims run out meanwhile
					w.d.RefreshAll()
				}
				synctest.Wait()
				w.wantCount("wh_1", webhook.Delivered, 30)
				if n := w.d.InFlight(); n != 0 {
					t.Errorf("%d worker tokens are lost", n)
				}
			})
		})
	}
}

type receiverFunc func(string) (*dispatch.Receiver, dispatch.State)

func (f receiverFunc) Receiver(id string) (*dispatch.Receiver, dispatch.State) { return f(id) }

func TestALostClaimIsReportedAndTheDeliveryIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var sent atomic.Int32
		w.hooks.add("wh_1", "proj_1", func(req *http.Request) (*http.Response, error) {
			if sent.Add(1) == 1 {
				w.store.steal(req.Header.Get("x-tengine-delivery"))
			}
			return response(200), nil
		})
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 1 })
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		synctest.Wait()
		if w.seen.lost != 1 {
			t.Errorf("the observer was told of %d lost claims, want 1", w.seen.lost)
		}
		if n := sent.Load(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
		w.wantStatus(id, webhook.Delivered, "")
	})
}

func TestAnOutcomeTheStoreDidNotTakeIsTriedAgainAfterTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		var fails atomic.Int32
		w.store.failWith(func(call string) error {
			if call == "finish" && fails.Add(1) == 1 {
				return errors.New("conflict")
			}
			return nil
		})
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		if n := tr.count(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
	})
}

func TestWhatCannotBeRecordedIsNotSentOnAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(200))
		var mended atomic.Bool
		w.store.failWith(func(call string) error {
			if call == "finish" && !mended.Load() {
				return queue.ErrFull
			}
			return nil
		})
		w.start()
		defer w.stop()
		w.publish("wh_1", 200)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := tr.count(); n > 16+20 {
			t.Errorf("%d attempts in 10 minutes, want those that were in flight and about one a minute", n)
		}
		mended.Store(true)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 200)
	})
}

func TestALaneIsKeptWhenTheClaimAfterALostOutcomeFails(t *testing.T) {
	for name, state := range map[string]dispatch.State{"active": dispatch.Active, "disabled": dispatch.Disabled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.hooks.add("wh_1", "proj_1", status(200))
				w.hooks.set("wh_1", state)
				var claims, finishes atomic.Int32
				w.store.failWith(func(call string) error {
					switch {
					case call == "finish" && finishes.Add(1) == 1:
						return errors.New("conflict")
					case call == "claim" && claims.Add(1) > 1 && finishes.Load() == 1 && claims.Load() < 5:
						return errors.New("busy")
					}
					return nil
				})
				w.start()
				defer w.stop()
				w.publish("wh_1", 1)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				w.wantCount("wh_1", webhook.Pending, 0)
				if n := claims.Load(); n > 10 {
					t.Errorf("%d claims in 10 minutes, want a few", n)
				}
			})
		})
	}
}

func TestAClaimThatPanickedAfterTakingIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.opts.Store = &panickingStore{memStore: w.store}
		w.d = dispatch.New(w.opts)
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
	})
}

// panickingStore panics in its first claim, when it has taken what was asked.
type panickingStore struct {
	*memStore
	panicked atomic.Bool
}

func (s *panickingStore) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	claimed, next, err := s.memStore.Claim(ctx, r)
	if s.panicked.CompareAndSwap(false, true) {
		panic("boom")
	}
	return claimed, next, err
}

func TestAClaimThatFailsIsRepeatedMoreAndMoreSlowly(t *testing.T) {
	for name, state := range map[string]dispatch.State{"active": dispatch.Active, "disabled": dispatch.Disabled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.hooks.add("wh_1", "proj_1", status(200))
				w.hooks.set("wh_1", state)
				var claims atomic.Int32
				var mended atomic.Bool
				w.store.failWith(func(call string) error {
					if call == "claim" && !mended.Load() {
						claims.Add(1)
						return errors.New("busy")
					}
					return nil
				})
				w.start()
				defer w.stop()
				w.publish("wh_1", 3)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := claims.Load(); n < 10 || n > 20 {
					t.Errorf("%d claims in 10 minutes, want about 15", n)
				}
				mended.Store(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				w.wantCount("wh_1", webhook.Pending, 0)
			})
		})
	}
}

func TestAStoreThatIsGoneEndsSendingQuietly(t *testing.T) {
	for _, gone := range []error{queue.ErrClosed, queue.ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			tr := w.hooks.add("wh_1", "proj_1", status(200))
			w.start()
			w.publish("wh_1", 1)
			synctest.Wait()
			w.store.failWith(func(string) error { return gone })
			w.publish("wh_1", 100)
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := tr.count(); n != 1 {
				t.Errorf("%d attempts, want 1", n)
			}
			if n := w.d.InFlight(); n != 0 {
				t.Errorf("%d workers are busy", n)
			}
			if err := w.d.Err(); !errors.Is(err, gone) {
				t.Errorf("Err: %v, want %v", err, gone)
			}
			if err := w.d.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
}

// A clock that panics in the right place stands for a fault in the Dispatcher's
// own bookkeeping.
func TestAPanicInTheBookkeepingHaltsSendingAndNothingElse(t *testing.T) {
	for _, where := range []string{"pick", "open", "conclude", "notice", "Refresh", "RefreshAll"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tr := w.hooks.add("wh_1", "proj_1", after(time.Second, 200))
				var armed atomic.Bool
				w.opts.Clock = func() time.Time {
					if armed.Load() && calledBy("Dispatcher)."+where) {
						panic("boom")
					}
					return w.wall.now()
				}
				w.d = dispatch.New(w.opts)
				w.start()
				w.publish("wh_1", 3)
				synctest.Wait()
				if err := w.d.Err(); err != nil {
					t.Errorf("Err before the panic: %v", err)
				}
				armed.Store(true)
				w.publish("wh_1", 20)
				w.d.Refresh("wh_1")
				w.d.RefreshAll()
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := w.d.Err(); err == nil || strings.Contains(err.Error(), "boom") {
					t.Errorf("Err: %v, want one that does not say what the panic did", err)
				}
				armed.Store(false)
				w.publish("wh_1", 1)
				time.Sleep(time.Hour)
				w.wantCount("wh_1", webhook.Delivered, tr.count())
				if n := tr.count(); n < 3 || n > 16 {
					t.Errorf("%d attempts, want those that were in flight and no more", n)
				}
				if err := w.d.Stop(t.Context()); err != nil {
					t.Errorf("Stop: %v", err)
				}
			})
		})
	}
}

// calledBy says whether a function of that name is calling.
func calledBy(name string) bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}
