package queuetest

import (
	"context"
	"errors"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
)

var _ = conform(
	testCase{name: "ClosedStoreRefuses", run: testClosed},
	testCase{name: "EndedContextEndsWaiting", run: testEndedContext},
)

func testClosed(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	s := b.store
	b.must(s.Close())
	b.must(s.Close())
	calls := map[string]func() error{
		"Publish": func() error {
			_, err := s.Publish(background, []queue.Publication{{Event: b.event()}})
			return err
		},
		"Claim": func() error {
			_, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: 1})
			return err
		},
		"ClaimOne": func() error {
			_, err := s.ClaimOne(background, c.Delivery.ID, "x", b.now, b.now)
			return err
		},
		"Finish":  func() error { return s.Finish(background, c.Claim, b.delivered(c)) },
		"Release": func() error { return s.Release(background, c.Claim, b.now) },
		"Watch":   func() error { return s.Watch(func(string, time.Time) {}) },
		"Context": func() error { _, err := s.Context(background, "prj_1"); return err },
		"Event":   func() error { _, err := s.Event(background, "prj_1", "evt_1"); return err },
		"Events": func() error {
			_, err := s.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1})
			return err
		},
		"Delivery": func() error { _, _, err := s.Delivery(background, c.Delivery.ID); return err },
		"Attempts": func() error { _, err := s.Attempts(background, c.Delivery.ID); return err },
		"Deliveries": func() error {
			_, err := s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1})
			return err
		},
		"Retire":        func() error { _, _, err := s.Retire(background, b.now, 1); return err },
		"EventWebhooks": func() error { _, err := s.EventWebhooks(background, "prj_1", "evt_1", "", 1); return err },
		"EventProjects": func() error { _, err := s.EventProjects(background, "evt_1", 1); return err },
		"PutRecord": func() error {
			_, err := s.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: "wh_1"})
			return err
		},
		"Record":       func() error { _, err := s.Record(background, queue.WebhookRecord, "wh_1"); return err },
		"Records":      func() error { _, err := s.Records(background, queue.WebhookRecord, "", "", 1); return err },
		"DeleteRecord": func() error { return s.DeleteRecord(background, queue.WebhookRecord, "wh_1") },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, queue.ErrClosed) {
			b.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if n := s.Backlog("wh_1"); n < 0 {
		b.Errorf("backlog is %d", n)
	}
	_ = s.Stats()
	next, err := b.opener.Open()
	b.must(err)
	b.store = next
	b.claimOnly("wh_1", 1)
}

func testEndedContext(b *bench) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	ev := b.event()
	_, err := b.store.Publish(ctx, []queue.Publication{{Event: ev, Targets: pending("wh_1")}})
	if err != nil && !errors.Is(err, context.Canceled) {
		b.Errorf("Publish: %v, want context.Canceled", err)
	}
	// It may have been done or not, but wholly.
	r := b.publish(queue.Publication{Event: ev, Targets: pending("wh_1")})[0]
	if r.Deliveries != 1 {
		b.Errorf("receipt is %+v", r)
	}
	b.claimOnly("wh_1", 1)
}
