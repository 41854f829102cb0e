package badgerstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// fanOut is how many targets the events of these tests have: their removal
// takes two steps.
const fanOut = 1500

// deliverToMany publishes event n to fanOut webhooks and delivers it to all.
func deliverToMany(t *testing.T, s *badgerstore.Store, n int) {
	t.Helper()
	pub := publication(n)
	pub.Targets = nil
	for i := range fanOut {
		pub.Targets = append(pub.Targets, queue.Target{WebhookID: fmt.Sprintf("wh_many_%04d", i), Status: webhook.Pending})
	}
	if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
		t.Fatal(err)
	}
	for _, target := range pub.Targets {
		cs, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: target.WebhookID, Max: 1, Now: start, Until: start.Add(time.Minute)})
		if err != nil || len(cs) != 1 {
			t.Fatalf("claimed %d, %v", len(cs), err)
		}
		mustFinish(t, s, cs[0], webhook.Delivered)
	}
}

func TestInterruptedRetireSendsNothingAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(background)
	var armed atomic.Bool
	s := mustOpen(t, badgerstore.Options{Dir: dir, OnCommit: func(_ time.Duration, entries int) {
		if armed.Load() && entries > fanOut/2 {
			cancel() // after the first step
		}
	}})
	mustPublish(t, s, 0, 1) // stays pending, as for a paused webhook
	deliverToMany(t, s, 1)

	armed.Store(true)
	before := start.Add(time.Hour)
	if _, _, err := s.Retire(ctx, before, 10); err == nil {
		t.Fatal("Retire was not interrupted")
	}
	mustClose(t, s)

	s = mustOpen(t, badgerstore.Options{Dir: dir})
	if n := s.Backlog(""); n != 1 {
		t.Errorf("%d deliveries are pending, want 1", n)
	}
	if n, more, err := s.Retire(background, before, 10); n != 1 || more || err != nil {
		t.Errorf("Retire gave %d, %v, %v, want to finish the event", n, more, err)
	}
	if st := s.Stats().Deliveries; st[webhook.Pending] != 1 || st[webhook.Delivered] != 0 {
		t.Errorf("counts are %v", st)
	}
	mustCheck(t, s)
}

func TestOldDeliveriesDoNotStayInMemory(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 3)
	held := mustClaim(t, s, start, 3)[0]
	mustPublish(t, s, 3, 5)
	badgerstore.PutOffOld(s)
	mustPublish(t, s, 5, 6) // after the others were recorded
	if n := badgerstore.Live(s); n != 1 {
		t.Errorf("%d events are live, want the new one", n)
	}
	mustFinish(t, s, held, webhook.Delivered)
	mustClaim(t, s, start, 3)
	mustCheck(t, s)
}

// duringRetire is a context of a Retire that calls fn while that looks for
// events.
type duringRetire struct {
	context.Context
	fn func()
}

func (c duringRetire) Err() error {
	c.fn()
	return c.Context.Err()
}

func TestReplayedMeanwhileIsNotRetired(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 2)
	cs := mustClaim(t, s, start, 2)
	for _, c := range cs {
		mustFinish(t, s, c, webhook.Failed)
	}
	now := start.Add(time.Hour)
	replay := sync.OnceFunc(func() {
		c, err := s.ClaimOne(background, cs[1].Delivery.ID, "tests", now, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(background, c.Claim, queue.Result{Status: webhook.Pending, NextAttemptAt: now, At: now, Replay: true}); err != nil {
			t.Fatal(err)
		}
	})
	n, more, err := s.Retire(duringRetire{background, replay}, now, 10)
	if n != 1 || more || err != nil {
		t.Errorf("Retire gave %d, %v, %v, want the event that was not replayed", n, more, err)
	}
	if c := mustClaim(t, s, now, 1)[0]; c.Delivery.ID != cs[1].Delivery.ID {
		t.Errorf("claimed %s, want what was replayed", c.Delivery.ID)
	}
	if st := s.Stats().Deliveries; st[webhook.Pending] != 1 || st[webhook.Failed] != 0 {
		t.Errorf("counts are %v", st)
	}
	mustCheck(t, s)
}
