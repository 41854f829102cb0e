package queuetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

var _ = conform(
	testCase{name: "EventsNewestFirst", run: testEvents},
	testCase{name: "DeliveriesNewestFirst", run: testDeliveries},
	testCase{name: "DeliveriesByFilter", run: testDeliveryFilters},
	testCase{name: "ForeignCursorIsRefused", run: testCursors},
	testCase{name: "RetireRemovesFinishedEvents", run: testRetire},
	testCase{name: "RetireSparesWhatIsPending", run: testRetireSpares},
)

func testEvents(b *bench) {
	var want []string
	for range 25 {
		want = append([]string{b.send("wh_1").ID}, want...)
	}
	other := b.event()
	other.ProjectID = "prj_10" // begins like the other one
	b.publish(queue.Publication{Event: other})
	for range 2 {
		var got []string
		q := queue.EventQuery{ProjectID: "prj_1", Limit: 5}
		for pages := 1; ; pages++ {
			page, err := b.store.Events(background, q)
			b.must(err)
			for _, ev := range page.Events {
				got = append(got, ev.ID)
			}
			if page.Next == "" {
				if pages != 5 {
					b.Errorf("%d pages, want 5", pages)
				}
				break
			}
			q.Cursor = page.Next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("events differ (-want +got):\n%s", diff)
		}
		b.crash()
	}
}

func testDeliveries(b *bench) {
	var want []string
	for range 30 {
		want = append([]string{b.send("wh_1", "wh_2").ID}, want...)
	}
	for i, c := range b.claimOnly("wh_1", 30) {
		switch i % 3 {
		case 0:
			b.finish(c, b.delivered(c))
		case 1:
			b.finish(c, b.putOff(c, time.Hour))
		}
	}
	for range 10 {
		want = append([]string{b.send("wh_1").ID}, want...)
	}
	for range 2 {
		var got []string
		for _, d := range b.list(queue.DeliveryQuery{WebhookID: "wh_1", Limit: 4}) {
			got = append(got, d.EventID)
			if full := b.delivery(d.ID); !cmp.Equal(full, d) {
				b.Errorf("list and Delivery differ:\n%s", cmp.Diff(full, d))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("deliveries differ (-want +got):\n%s", diff)
		}
		b.reopen()
	}
	if ds := b.list(queue.DeliveryQuery{WebhookID: "wh_none"}); len(ds) != 0 {
		b.Errorf("unknown webhook has %d deliveries", len(ds))
	}
}

func testDeliveryFilters(b *bench) {
	start := b.now
	var ids []string
	for i := range 24 {
		b.now = start.Add(time.Duration(i) * 500 * time.Microsecond)
		ev := b.event()
		ev.Type = []string{"project.created", "project.updated"}[i%2]
		b.publish(queue.Publication{Event: ev, Targets: pending("wh_1")})
		ids = append(ids, ev.ID)
	}
	for i, c := range b.claimOnly("wh_1", 24)[:12] {
		r := b.delivered(c)
		if i < 4 {
			r.Status = webhook.Failed
		}
		b.finish(c, r)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * 500 * time.Microsecond) }
	for range 2 {
		for _, q := range []struct {
			name string
			q    queue.DeliveryQuery
			want []string // oldest first
		}{
			{"failed", queue.DeliveryQuery{Status: webhook.Failed}, ids[:4]},
			{"delivered", queue.DeliveryQuery{Status: webhook.Delivered}, ids[4:12]},
			{"pending", queue.DeliveryQuery{Status: webhook.Pending}, ids[12:]},
			{"corrupt", queue.DeliveryQuery{Status: webhook.Corrupt}, nil},
			{"type", queue.DeliveryQuery{EventType: "project.updated", Status: webhook.Failed}, []string{ids[1], ids[3]}},
			{"event", queue.DeliveryQuery{EventID: ids[5]}, ids[5:6]},
			{"pending event", queue.DeliveryQuery{EventID: ids[20]}, ids[20:21]},
			{"no event", queue.DeliveryQuery{EventID: "evt_none"}, nil},
			{"event of other status", queue.DeliveryQuery{EventID: ids[5], Status: webhook.Failed}, nil},
			{"since", queue.DeliveryQuery{Since: at(3)}, ids[3:]},
			{"until", queue.DeliveryQuery{Until: at(3)}, ids[:3]},
			{"between", queue.DeliveryQuery{Since: at(2), Until: at(21)}, ids[2:21]},
			{"since with status", queue.DeliveryQuery{Since: at(3), Status: webhook.Failed}, ids[3:4]},
		} {
			q.q.WebhookID = "wh_1"
			for _, q.q.Limit = range []int{1, 5, 100} {
				var got []string
				for _, d := range b.list(q.q) {
					got = append([]string{d.EventID}, got...)
				}
				if diff := cmp.Diff(q.want, got); diff != "" {
					b.Errorf("%s, limit %d: deliveries differ (-want +got):\n%s", q.name, q.q.Limit, diff)
				}
			}
		}
		b.crash()
	}
}

func testCursors(b *bench) {
	for range 3 {
		b.send("wh_1", "wh_2")
	}
	page, err := b.store.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1})
	b.must(err)
	for _, cursor := range []string{"x", "!!", page.Next + "A", page.Next[1:]} {
		if _, err := b.store.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1, Cursor: cursor}); !errors.Is(err, queue.ErrCursor) {
			b.Errorf("cursor %q: %v, want ErrCursor", cursor, err)
		}
		if _, err := b.store.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1, Cursor: cursor}); !errors.Is(err, queue.ErrCursor) {
			b.Errorf("cursor %q: %v, want ErrCursor", cursor, err)
		}
	}
	if _, err := b.store.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_2", Limit: 1, Cursor: page.Next}); !errors.Is(err, queue.ErrCursor) {
		b.Errorf("cursor of another webhook: %v, want ErrCursor", err)
	}
}

func (b *bench) retire(before time.Time, limit, want int, wantMore bool) {
	b.Helper()
	n, more, err := b.store.Retire(background, before, limit)
	b.must(err)
	if n != want || more != wantMore {
		b.Errorf("Retire gave %d, %v, want %d, %v", n, more, want, wantMore)
	}
}

func testRetire(b *bench) {
	var evs []*webhook.Event
	for range 10 {
		b.now = b.now.Add(time.Second)
		evs = append(evs, b.send("wh_1", "wh_2"))
	}
	for _, id := range []string{"wh_1", "wh_2"} {
		for _, c := range b.claimOnly(id, 10) {
			b.finish(c, b.putOff(c, 0))
		}
		for _, c := range b.claimOnly(id, 10) {
			b.finish(c, b.delivered(c))
		}
	}
	kept := b.list(queue.DeliveryQuery{WebhookID: "wh_1"})[0]
	b.retire(evs[0].ReceivedAt, 5, 0, false)
	b.retire(evs[5].ReceivedAt, 3, 3, true)
	b.crash()
	b.retire(evs[5].ReceivedAt, 3, 2, false)
	b.retire(evs[5].ReceivedAt, 3, 0, false)
	if got := b.store.Stats().Deliveries[webhook.Delivered]; got != 10 {
		b.Errorf("%d deliveries are counted, want 10", got)
	}
	for i, ev := range evs {
		_, err := b.store.Event(background, ev.ProjectID, ev.ID)
		if gone := errors.Is(err, queue.ErrNotFound); gone != (i < 5) {
			b.Errorf("event %d: %v", i, err)
		}
	}
	if ds := b.list(queue.DeliveryQuery{WebhookID: "wh_2"}); len(ds) != 5 {
		b.Errorf("%d deliveries are left, want 5", len(ds))
	}
	if r := b.publish(queue.Publication{Event: evs[0], Targets: pending("wh_1")})[0]; r.Stored != nil {
		b.Error("the id of a retired event is remembered")
	}
	b.retire(b.now.Add(time.Second), 100, 5, false)
	if _, _, err := b.store.Delivery(background, kept.ID); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("delivery of a retired event: %v, want ErrNotFound", err)
	}
	if _, err := b.store.ClaimOne(background, kept.ID, "x", b.now, b.now.Add(1)); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("claim of a retired delivery: %v, want ErrNotFound", err)
	}
}

func testRetireSpares(b *bench) {
	later := b.now.Add(time.Hour)
	b.send("wh_1", "wh_2")
	b.send("wh_2")
	b.publish(queue.Publication{Event: b.event()})
	for _, c := range b.claimOnly("wh_2", 2) {
		b.finish(c, b.delivered(c))
	}
	b.retire(later, 10, 2, false)
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.putOff(c, time.Minute))
	b.retire(later, 10, 0, false)
	b.now = b.now.Add(time.Minute)
	c = b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.delivered(c))
	c = b.claimOne(c.Delivery.ID)
	b.retire(later, 10, 0, false)
	b.must(b.store.Release(background, c.Claim, b.now))
	b.retire(later, 10, 1, false)
}
