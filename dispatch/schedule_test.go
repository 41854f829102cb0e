package dispatch_test

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestFirstAttemptIsMadeAtOnceAndDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(204))
		w.start()
		defer w.stop()
		began := time.Now()
		ids := w.publish("wh_1", 100)
		synctest.Wait()
		for _, id := range ids {
			w.wantStatus(id, webhook.Delivered, "")
		}
		if n := tr.count(); n != 100 {
			t.Errorf("%d attempts, want 100", n)
		}
		if !time.Now().Equal(began) {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestWhatWasPendingBeforeStartGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hooks.add("wh_1", "proj_1", status(200))
		w.publish("wh_1", 10)
		w.start()
		defer w.stop()
		synctest.Wait()
		w.wantCount("wh_1", webhook.Delivered, 10)
	})
}

func TestFailedAttemptsFollowTheScheduleThenTheDeliveryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const takes = 3 * time.Second // waits count from the end of the attempt
		tr := w.hooks.add("wh_1", "proj_1", after(takes, 500))
		w.start()
		defer w.stop()
		began := time.Now()
		id := w.publish("wh_1", 1)[0]

		time.Sleep(24 * time.Hour)
		synctest.Wait()
		calls := tr.all()
		if len(calls) != 6 {
			t.Fatalf("%d attempts were made, want 6", len(calls))
		}
		if !calls[0].at.Equal(began) {
			t.Errorf("attempt 1 was made %v after the event, want at once", calls[0].at.Sub(began))
		}
		for i, step := range queue.DefaultSchedule() {
			wait := calls[i+1].at.Sub(calls[i].at.Add(takes))
			if wait < step || wait > step+step/10+time.Millisecond {
				t.Errorf("the wait after attempt %d was %v, want %v and at most 10%% more", i+1, wait, step)
			}
			if want := strconv.Itoa(i + 2); calls[i+1].attempt != want {
				t.Errorf("x-tengine-attempt is %s, want %s", calls[i+1].attempt, want)
			}
		}
		if d := calls[5].at.Sub(began); d < 5*time.Hour+21*time.Minute {
			t.Errorf("the last attempt was made after %v, want 5h21m or more", d)
		}
		w.wantStatus(id, webhook.Failed, "")
		if d, attempts := w.store.delivery(id); d.Attempts != 6 || d.Step != 6 || len(attempts) != 6 {
			t.Errorf("delivery has %d attempts, %d steps, %d recorded, want 6 each", d.Attempts, d.Step, len(attempts))
		}
		if n := len(w.seen.reports); n != 6 {
			t.Errorf("the observer saw %d outcomes, want 6", n)
		}
	})
}

func TestJitterNeverShortensAndStaysBelowATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{time.Minute} })
		w.start()
		defer w.stop()
		began := time.Now()
		w.publish("wh_1", 200)
		time.Sleep(time.Hour)
		synctest.Wait()
		calls := tr.all()
		if len(calls) != 400 {
			t.Fatalf("%d attempts, want 400", len(calls))
		}
		distinct := map[time.Time]bool{}
		for _, c := range calls[200:] {
			distinct[c.at] = true
			if wait := c.at.Sub(began); wait < time.Minute || wait > 66*time.Second+time.Millisecond {
				t.Errorf("a retry came after %v, want 1m to 1m6s", wait)
			}
		}
		if len(distinct) < 100 {
			t.Errorf("200 retries came at %d distinct times, want them spread", len(distinct))
		}
	})
}

func TestAnEmptyScheduleMeansOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(500))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Retry = []time.Duration{} })
		w.start()
		defer w.stop()
		id := w.publish("wh_1", 1)[0]
		synctest.Wait()
		w.wantStatus(id, webhook.Failed, "")
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
	})
}

func TestRetryAfterLengthensAStepToAtMostTwice(t *testing.T) {
	for name, c := range map[string]struct {
		code     int
		header   string
		min, max time.Duration
	}{
		"shorter than the step": {503, "5", time.Minute, 66 * time.Second},
		"longer":                {503, "90", 90 * time.Second, 99 * time.Second},
		"on 429":                {429, "90", 90 * time.Second, 99 * time.Second},
		"beyond twice the step": {429, "86400", 2 * time.Minute, 2 * time.Minute},
		"overflowing":           {429, "99999999999999999999999", 2 * time.Minute, 2 * time.Minute},
		"a date":                {503, "@90s", 90 * time.Second, 99 * time.Second},
		"a date in the past":    {503, "@-90s", time.Minute, 66 * time.Second},
		"negative":              {503, "-90", time.Minute, 66 * time.Second},
		"not a number":          {503, "soon", time.Minute, 66 * time.Second},
		"on 500":                {500, "90", time.Minute, 66 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				began := time.Now()
				header := c.header
				if header[0] == '@' {
					d, err := time.ParseDuration(header[1:])
					if err != nil {
						t.Fatal(err)
					}
					header = began.Add(d).UTC().Format(http.TimeFormat)
				}
				tr := w.hooks.add("wh_1", "proj_1", status(c.code, "Retry-After", header))
				w.start()
				defer w.stop()
				w.publish("wh_1", 1)
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				calls := tr.all()
				if len(calls) < 2 {
					t.Fatalf("%d attempts, want 2", len(calls))
				}
				if wait := calls[1].at.Sub(began); wait < c.min || wait > c.max+time.Millisecond {
					t.Errorf("waited %v, want %v to %v", wait, c.min, c.max)
				}
			})
		})
	}
}

func TestGoneFailsTheDeliveryAndTellsTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tr := w.hooks.add("wh_1", "proj_1", status(410))
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 1 })
		w.seen.hook = func(what string) {
			if what == "gone" { // what the gateway does
				w.hooks.change("wh_1", func(s *webhook.Subscription) { s.DisabledReason = "gone" })
				w.hooks.set("wh_1", dispatch.Disabled)
				w.d.Refresh("wh_1")
			}
		}
		ids := w.publish("wh_1", 5)
		w.start()
		defer w.stop()
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("%d attempts, want 1", n)
		}
		w.wantStatus(ids[0], webhook.Failed, "gone")
		for _, id := range ids[1:] {
			w.wantStatus(id, webhook.Skipped, "gone")
		}
		if len(w.seen.gone) != 1 || w.seen.gone[0] != "wh_1" {
			t.Errorf("the observer was told gone %v, want [wh_1]", w.seen.gone)
		}
	})
}

func TestRetriesDoNotHoldUpFirstAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var up atomic.Bool
		tr := w.hooks.add("wh_1", "proj_1", func(req *http.Request) (*http.Response, error) {
			if !up.Load() {
				return response(500), nil
			}
			return after(100*time.Millisecond, 200)(req)
		})
		w.hooks.change("wh_1", func(s *webhook.Subscription) { s.Concurrency = 1 })
		w.start()
		defer w.stop()
		w.publish("wh_1", 1000)
		synctest.Wait()
		up.Store(true)
		time.Sleep(70 * time.Second) // all retries are due, 10 a second get through
		id := w.publish("wh_1", 1)[0]
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		if n := tr.count(); n > 1200 {
			t.Errorf("%d attempts, want the backlog to be there still", n)
		}
	})
}
