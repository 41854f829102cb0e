package dispatch_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

const zapLevel = zap.FatalLevel

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
