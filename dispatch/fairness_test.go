package dispatch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestAHangingWebhookHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 32 })
		black := w.hooks.add("wh_black", "proj_1", hang)
		w.publish("wh_black", 10_000)
		for i := range 20 {
			w.hooks.add(fmt.Sprintf("wh_%d", i), "proj_1", after(10*time.Millisecond, 200))
		}
		w.start()
		defer w.stop()
		for range 600 { // a minute
			for i := range 20 {
				if i%2 == 0 {
					w.publish(fmt.Sprintf("wh_%d", i), 1)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		slow := 0
		for _, r := range w.seen.reports {
			if r.Status == webhook.Delivered && r.Latency > 20*time.Millisecond {
				slow++
			}
		}
		w.wantCount("", webhook.Delivered, 6000)
		if slow > 0 {
			t.Errorf("%d of 6000 deliveries took more than twice their 10 ms", slow)
		}
		if n := black.mostInFlight(); n != 16 {
			t.Errorf("the hanging webhook held %d workers, want its 16", n)
		}
	})
}

func TestManyHangingWebhooksHoldUpOthersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 64 })
		for i := range 20 { // 20 times 16 attempts: more than there are workers
			id := fmt.Sprintf("wh_black_%d", i)
			w.hooks.add(id, "proj_1", hang)
			w.publish(id, 1000)
		}
		w.hooks.add("wh_good", "proj_1", after(10*time.Millisecond, 200))
		w.start()
		defer w.stop()
		time.Sleep(time.Minute)
		for range 100 {
			w.publish("wh_good", 1)
			time.Sleep(200 * time.Millisecond)
		}
		synctest.Wait()
		for _, r := range w.seen.reports {
			if r.Status == webhook.Delivered && r.Latency > 20*time.Millisecond {
				t.Fatalf("a delivery took %v although the others are known to hang", r.Latency)
			}
		}
		w.wantCount("wh_good", webhook.Delivered, 100)
	})
}

func TestProjectsTakeTurnsWhateverTheirNumberOfWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 10 })
		const many = 2000
		for i := range many {
			id := fmt.Sprintf("wh_%d", i)
			w.hooks.add(id, "proj_big", after(100*time.Millisecond, 200))
			w.publish(id, 1)
		}
		w.hooks.add("wh_small", "proj_small", after(100*time.Millisecond, 200))
		w.start() // 20 s of work for the big project
		defer w.stop()
		time.Sleep(time.Second)
		id := w.publish("wh_small", 1)[0]
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
		if n := w.store.count("", webhook.Pending); n < many/2 {
			t.Errorf("only %d deliveries of the big project are left, the test shows nothing", n)
		}
	})
}

func TestABusyWebhookLeavesTurnsToTheOthersOfItsProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *dispatch.Options) { o.Workers = 4 })
		w.hooks.add("wh_busy", "proj_1", after(100*time.Millisecond, 200))
		w.publish("wh_busy", 1000)
		w.start()
		defer w.stop()
		time.Sleep(time.Second)
		w.hooks.add("wh_quiet", "proj_1", after(100*time.Millisecond, 200))
		id := w.publish("wh_quiet", 1)[0]
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		w.wantStatus(id, webhook.Delivered, "")
	})
}

// TestALaneDoesNotLoseItsTurnWhileItsProjectIsFoundOut lets a webhook take all
// workers again while one of them finds out where another one belongs, which has
// waited for longer.
func TestALaneDoesNotLoseItsTurnWhileItsProjectIsFoundOut(t *testing.T) {
	for name, project := range map[string]string{"of the same project": "proj_1", "of another project": "proj_2"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *dispatch.Options) {
					o.Workers = 4
					o.Receivers = slowToFind{o.Receivers, "wh_quiet", time.Millisecond}
				})
				w.hooks.add("wh_busy", "proj_1", after(100*time.Millisecond, 200))
				w.publish("wh_busy", 1000)
				w.start()
				defer w.stop()
				time.Sleep(1050 * time.Millisecond)
				w.hooks.add("wh_quiet", project, after(100*time.Millisecond, 200))
				id := w.publish("wh_quiet", 1)[0]
				time.Sleep(175 * time.Millisecond) // 50 to the next free worker, 100 for its attempt
				synctest.Wait()
				w.wantStatus(id, webhook.Delivered, "")
			})
		})
	}
}

// slowToFind is Receivers that take some time to find one webhook.
type slowToFind struct {
	dispatch.Receivers
	id   string
	time time.Duration
}

func (s slowToFind) Receiver(webhookID string) (*dispatch.Receiver, dispatch.State) {
	if webhookID == s.id {
		time.Sleep(s.time)
	}
	return s.Receivers.Receiver(webhookID)
}
