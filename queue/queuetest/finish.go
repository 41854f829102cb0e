package queuetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

var _ = conform(
	testCase{name: "FinishPutsOff", run: testPutOff},
	testCase{name: "FinishEnds", run: testFinishEnds},
	testCase{name: "FinishWithoutAttempt", run: testFinishNoAttempt},
	testCase{name: "AttemptsAreKept", run: testAttempts},
	testCase{name: "ClaimOne", run: testClaimOne},
	testCase{name: "ClaimOneRestoresOnRelease", run: testClaimOneRelease},
	testCase{name: "ClaimOneStealsNothingForItsClock", run: testClaimOneClock},
	testCase{name: "ClaimOneLastsThoughTheClockWentBack", run: testClaimOneClockBack},
	testCase{name: "ReplayOfFinishedDelivery", run: testReplay},
	testCase{name: "ReplayIsRemembered", run: testReplayedAt},
	testCase{name: "TestDeliveryIsSentByWhoPublishedIt", run: testTestDelivery},
)

func testPutOff(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	r := b.putOff(c, time.Minute)
	r.Reason = "because"
	b.finish(c, r)
	for range 2 {
		d := b.delivery(c.Delivery.ID)
		want := c.Delivery
		want.Attempts, want.Step, want.NextAttemptAt, want.Reason = 1, 1, r.NextAttemptAt, "because"
		want.LastAttempt = r.Attempt
		if diff := cmp.Diff(want, d); diff != "" {
			b.Errorf("delivery differs (-want +got):\n%s", diff)
		}
		b.claimOnly("wh_1", 0)
		b.crash()
	}
	b.now = r.NextAttemptAt.Add(-1)
	b.claimOnly("wh_1", 0)
	b.now = r.NextAttemptAt
	got := b.claimOnly("wh_1", 1)[0]
	if got.Delivery.LastAttempt != nil || got.Delivery.Attempts != 1 || got.Delivery.Step != 1 {
		b.Errorf("claimed %+v", got.Delivery)
	}
	wrong := b.delivered(got)
	wrong.Attempt.Number = 1
	if err := b.store.Finish(background, got.Claim, wrong); err == nil {
		b.Error("an attempt number came twice")
	}
	b.finish(got, b.delivered(got))
	b.now = b.now.Add(time.Hour)
	b.claimOnly("wh_1", 0)
}

func testFinishEnds(b *bench) {
	for i, status := range []webhook.Status{webhook.Delivered, webhook.Failed, webhook.Cancelled, webhook.Skipped} {
		id := fmt.Sprintf("wh_%d", i)
		b.send(id)
		c := b.claimOnly(id, 1)[0]
		r := queue.Result{Attempt: b.attempt(c, webhook.HTTP4xx, 410), Status: status, Reason: "gone", Step: 1}
		b.finish(c, r)
		d := b.delivery(c.Delivery.ID)
		if d.Status != status || d.Reason != "gone" || !d.NextAttemptAt.IsZero() || !d.FinishedAt.Equal(b.now.Add(r.Attempt.Duration)) {
			b.Errorf("delivery is %+v", d)
		}
		if n := b.store.Backlog(id); n != 0 {
			b.Errorf("backlog is %d", n)
		}
		if got := b.store.Stats().Deliveries[status]; got != 1 {
			b.Errorf("%d are %s, want 1", got, status)
		}
		b.now = b.now.Add(time.Hour)
		b.claimOnly(id, 0)
	}
	b.crash()
	if got := b.store.Stats().Deliveries; got[webhook.Pending] != 0 || got[webhook.Failed] != 1 {
		b.Errorf("counts are %v", got)
	}
}

func testFinishNoAttempt(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	r := b.putOff(c, 0)
	b.finish(c, r)
	c = b.claimOnly("wh_1", 1)[0]
	b.finish(c, queue.Result{Status: webhook.Skipped, Reason: "disabled", Step: c.Delivery.Step})
	d := b.delivery(c.Delivery.ID)
	if d.Attempts != 1 || d.Status != webhook.Skipped || !d.FinishedAt.Equal(b.now) || !cmp.Equal(d.LastAttempt, r.Attempt) {
		b.Errorf("delivery is %+v", d)
	}

	b.send("wh_2")
	c = b.claimOnly("wh_2", 1)[0]
	at := b.now.Add(-time.Minute)
	b.finish(c, queue.Result{Status: webhook.Skipped, Reason: "disabled", At: at})
	if d := b.delivery(c.Delivery.ID); !d.FinishedAt.Equal(at) {
		b.Errorf("delivery was finished at %v, want %v", d.FinishedAt, at)
	}
}

func testAttempts(b *bench) {
	b.send("wh_1")
	var want []webhook.Attempt
	var id string
	for i := range 4 {
		c := b.claimOnly("wh_1", 1)[0]
		id = c.Delivery.ID
		if as, err := b.store.Attempts(background, id); err != nil || len(as) != i {
			b.Errorf("%d attempts, %v, want %d", len(as), err, i)
		}
		r := b.putOff(c, time.Second)
		if i == 2 {
			r.Attempt.ResponseBody, r.Attempt.ResponseHeaders, r.Attempt.Error = nil, nil, ""
		}
		b.finish(c, r)
		want = append(want, *r.Attempt)
		b.now = b.now.Add(time.Second)
	}
	for range 2 {
		got, err := b.store.Attempts(background, id)
		b.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("attempts differ (-want +got):\n%s", diff)
		}
		b.crash()
	}
	if _, err := b.store.Attempts(background, "dlv_00000000000000000000000000"); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("attempts of no delivery: %v, want ErrNotFound", err)
	}
}

func (b *bench) claimOne(id string) queue.Claimed {
	b.Helper()
	c, err := b.store.ClaimOne(background, id, "tests", b.now, b.now.Add(time.Minute))
	b.must(err)
	return c
}

func testClaimOne(b *bench) {
	b.send("wh_1")
	id := b.list(queue.DeliveryQuery{WebhookID: "wh_1"})[0].ID
	c := b.claimOne(id)
	b.claimOnly("wh_1", 0)
	if _, err := b.store.ClaimOne(background, id, "x", b.now, b.now.Add(time.Minute)); !errors.Is(err, queue.ErrClaimed) {
		b.Errorf("second claim: %v, want ErrClaimed", err)
	}
	b.finish(c, b.putOff(c, time.Hour))

	c = b.claimOne(id) // before it is due
	if c.Delivery.Attempts != 1 || !c.Delivery.NextAttemptAt.Equal(b.now.Add(time.Hour)) {
		b.Errorf("claimed %+v", c.Delivery)
	}
	r := queue.Result{Attempt: b.attempt(c, webhook.HTTP5xx, 500), Status: webhook.Pending, NextAttemptAt: c.Delivery.NextAttemptAt, Step: c.Delivery.Step}
	b.finish(c, r)
	b.now = b.now.Add(2 * time.Hour)
	c = b.claimOnly("wh_1", 1)[0]
	if c.Delivery.Attempts != 2 || c.Delivery.Step != 1 {
		b.Errorf("claimed %+v", c.Delivery)
	}
	b.now = c.Claim.Until
	b.claimOnly("wh_other", 0) // tells the store the time
	c = b.claimOne(id)         // after another claim's deadline
	b.finish(c, b.delivered(c))
	if _, err := b.store.ClaimOne(background, "dlv_none", "x", b.now, b.now.Add(time.Minute)); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("claim of no delivery: %v, want ErrNotFound", err)
	}
}

func testClaimOneRelease(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, queue.Result{Attempt: b.attempt(c, webhook.HTTP4xx, 400), Status: webhook.Failed, Step: 1})
	before := b.delivery(c.Delivery.ID)
	c = b.claimOne(before.ID)
	if c.Delivery.Status != webhook.Failed {
		b.Errorf("claimed %+v", c.Delivery)
	}
	b.must(b.store.Release(background, c.Claim, b.now))
	b.claimOnly("wh_1", 0)
	c = b.claimOne(before.ID)
	b.now = c.Claim.Until
	b.claimOnly("wh_1", 0)
	if diff := cmp.Diff(before, b.delivery(before.ID)); diff != "" {
		b.Errorf("delivery differs (-want +got):\n%s", diff)
	}
	c = b.claimOne(before.ID)
	b.finish(c, queue.Result{Attempt: b.attempt(c, webhook.HTTP4xx, 400), Status: webhook.Failed, Step: 1})
	after := b.delivery(before.ID)
	if after.Attempts != 2 || !after.FinishedAt.Equal(before.FinishedAt) {
		b.Errorf("delivery is %+v; it was finished at %v", after, before.FinishedAt)
	}
}

func testReplay(b *bench) {
	b.publish(queue.Publication{Event: b.event(), Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Skipped, Reason: "manual"}}})
	d := b.list(queue.DeliveryQuery{WebhookID: "wh_1"})[0]
	c := b.claimOne(d.ID)
	b.finish(c, queue.Result{Status: webhook.Pending, NextAttemptAt: b.now, Step: 0})
	if n := b.store.Backlog("wh_1"); n != 1 {
		b.Errorf("backlog is %d, want 1", n)
	}
	for range 2 {
		if d := b.delivery(d.ID); d.Status != webhook.Pending || !d.FinishedAt.IsZero() || d.Reason != "" {
			b.Errorf("delivery is %+v", d)
		}
		b.claimOnly("wh_1", 1)
		b.crash()
	}
	c = b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.delivered(c))
	c = b.claimOne(d.ID)
	b.finish(c, queue.Result{Status: webhook.Pending, NextAttemptAt: b.now})
	c = b.claimOnly("wh_1", 1)[0]
	if c.Delivery.Attempts != 1 {
		b.Errorf("claimed %+v", c.Delivery)
	}
}

func testClaimOneClock(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	ahead := b.now.Add(24 * time.Hour) // the clock of whoever wants it was set
	if _, err := b.store.ClaimOne(background, c.Delivery.ID, "x", ahead, ahead.Add(time.Minute)); !errors.Is(err, queue.ErrClaimed) {
		b.Errorf("ClaimOne of a claimed delivery: %v, want ErrClaimed", err)
	}
	b.finish(c, b.delivered(c))

	// Nor does one ClaimOne end another's claim.
	c = b.claimOne(c.Delivery.ID)
	if _, err := b.store.ClaimOne(background, c.Delivery.ID, "x", ahead, ahead.Add(time.Minute)); !errors.Is(err, queue.ErrClaimed) {
		b.Errorf("ClaimOne of a claimed delivery: %v, want ErrClaimed", err)
	}
	b.finish(c, b.delivered(c))
}

func testClaimOneClockBack(b *bench) {
	b.send("wh_1")
	back := b.now
	b.now = b.now.Add(24 * time.Hour)
	b.claimOnly("wh_other", 0) // tells the store the time
	id := b.list(queue.DeliveryQuery{WebhookID: "wh_1"})[0].ID
	c, err := b.store.ClaimOne(background, id, "tests", back, back.Add(time.Minute))
	b.must(err)
	b.claimOnly("wh_1", 0)
	if _, err := b.store.ClaimOne(background, id, "x", back, back.Add(time.Minute)); !errors.Is(err, queue.ErrClaimed) {
		b.Errorf("ClaimOne of a claimed delivery: %v, want ErrClaimed", err)
	}
	b.finish(c, b.delivered(c))
}

func testReplayedAt(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.delivered(c))
	b.now = b.now.Add(time.Hour)
	at := b.now.Add(-time.Second)
	c = b.claimOne(c.Delivery.ID)
	b.finish(c, queue.Result{Status: webhook.Pending, NextAttemptAt: b.now, At: at, Replay: true})
	replayed := func(want time.Time) {
		b.Helper()
		for range 2 {
			d := b.delivery(c.Delivery.ID)
			if !d.ReplayedAt.Equal(want) {
				b.Errorf("delivery was replayed at %v, want %v", d.ReplayedAt, want)
			}
			if ds := b.list(queue.DeliveryQuery{WebhookID: "wh_1"}); len(ds) != 1 || !cmp.Equal(ds[0], d) {
				b.Errorf("list has %+v", ds)
			}
			b.crash()
		}
	}
	replayed(at)

	// It stays through what follows, until the next replay.
	c = b.claimOnly("wh_1", 1)[0]
	if !c.Delivery.ReplayedAt.Equal(at) || c.Delivery.Attempts != 1 {
		b.Errorf("claimed %+v", c.Delivery)
	}
	b.finish(c, b.putOff(c, time.Second))
	replayed(at)
	b.now = b.now.Add(time.Second)
	c = b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.delivered(c))
	replayed(at)
	c = b.claimOne(c.Delivery.ID)
	b.finish(c, queue.Result{Status: webhook.Pending, NextAttemptAt: b.now, Replay: true})
	replayed(b.now) // without At: when it was claimed
}

func testTestDelivery(b *bench) {
	for _, status := range []webhook.Status{webhook.Delivered, webhook.Failed} {
		ev := b.event()
		b.publish(queue.Publication{Event: ev, Test: true, Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Skipped, Reason: "test"}}})
		ds := b.list(queue.DeliveryQuery{WebhookID: "wh_1", EventID: ev.ID})
		if len(ds) != 1 || ds[0].Status != webhook.Skipped || !ds[0].Test {
			b.Fatalf("deliveries are %+v", ds)
		}
		b.claimOnly("wh_1", 0)
		c := b.claimOne(ds[0].ID)
		if diff := cmp.Diff(ev, c.Event); diff != "" {
			b.Errorf("event differs (-want +got):\n%s", diff)
		}
		b.now = b.now.Add(time.Second)
		r := b.delivered(c)
		r.Status, r.Attempt.Trigger = status, webhook.ByTest
		b.finish(c, r)
		for range 2 {
			d := b.delivery(c.Delivery.ID)
			if d.Status != status || d.Attempts != 1 || !d.Test || d.Reason != "" || !d.FinishedAt.Equal(b.now.Add(r.Attempt.Duration)) || !cmp.Equal(d.LastAttempt, r.Attempt) {
				b.Errorf("delivery is %+v", d)
			}
			if got := b.store.Stats().Deliveries; got[status] != 1 || got[webhook.Skipped] != 0 {
				b.Errorf("counts are %v", got)
			}
			b.crash()
		}
		b.claimOnly("wh_1", 0)
	}
}
