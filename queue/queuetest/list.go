package queuetest

import (
	"errors"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

var _ = conform(
	testCase{name: "EventsNewestFirst", run: testEvents},
	testCase{name: "WebhooksOfAnEvent", run: testEventWebhooks},
	testCase{name: "DeliveriesNewestFirst", run: testDeliveries},
	testCase{name: "DeliveriesByFilter", run: testDeliveryFilters},
	testCase{name: "ForeignCursorIsRefused", run: testCursors},
	testCase{name: "ListsAreWholeWhileDelivering", run: testListsWhileDelivering},
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

func testEventWebhooks(b *bench) {
	b.send("wh_c", "wh_a") // makes them known in another order than that of their ids
	ev, other := b.event(), b.event()
	other.ID, other.ProjectID = ev.ID, "prj_2"
	targets := append(pending("wh_d", "wh_b", "wh_a", "wh_f"), queue.Target{WebhookID: "wh_e", Status: webhook.Skipped})
	b.publish(queue.Publication{Event: ev, Targets: targets}, queue.Publication{Event: other, Targets: pending("wh_c")})
	_, err := b.store.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: "wh_b", ProjectID: "prj_1"})
	b.must(err)
	b.must(b.store.DeleteRecord(background, queue.WebhookRecord, "wh_b"))
	c := b.claimOnly("wh_b", 1)[0]
	b.finish(c, queue.Result{Status: webhook.Cancelled})
	for range 2 {
		for _, list := range []struct {
			project, after string
			limit          int
			want           []string
		}{
			{"prj_1", "", 9, []string{"wh_a", "wh_b", "wh_d", "wh_e", "wh_f"}},
			{"prj_1", "", 2, []string{"wh_a", "wh_b"}},
			{"prj_1", "wh_b", 2, []string{"wh_d", "wh_e"}},
			{"prj_1", "wh_c", 2, []string{"wh_d", "wh_e"}},
			{"prj_1", "wh_e", 2, []string{"wh_f"}},
			{"prj_1", "wh_f", 2, nil},
			{"prj_2", "", 2, []string{"wh_c"}},
		} {
			got, err := b.store.EventWebhooks(background, list.project, ev.ID, list.after, list.limit)
			b.must(err)
			if !slices.Equal(got, list.want) {
				b.Errorf("webhooks of %s after %q: %v, want %v", list.project, list.after, got, list.want)
			}
		}
		b.crash()
	}
	if _, err := b.store.EventWebhooks(background, "prj_3", ev.ID, "", 9); !errors.Is(err, queue.ErrNotFound) {
		b.Errorf("of no event: %v, want ErrNotFound", err)
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
		b.now = b.now.Add(time.Second)
	}
	for _, id := range []string{"wh_1", "wh_2"} {
		_, err := b.store.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: id, ProjectID: "prj_1"})
		b.must(err)
	}
	deliveries := queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1}
	first, err := b.store.Deliveries(background, deliveries)
	b.must(err)
	events, err := b.store.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1})
	b.must(err)
	records, err := b.store.Records(background, queue.WebhookRecord, "", "", 1)
	b.must(err)
	if first.Next == "" || events.Next == "" || records.Next == "" {
		b.Fatalf("cursors are %q, %q, %q", first.Next, events.Next, records.Next)
	}
	refused := func(what string, err error) {
		b.Helper()
		if !errors.Is(err, queue.ErrCursor) {
			b.Errorf("%s: %v, want ErrCursor", what, err)
		}
	}
	// another changes a query, which the cursor is not for then.
	another := func(what, cursor string, change func(*queue.DeliveryQuery)) {
		b.Helper()
		q := deliveries
		q.Cursor = cursor
		change(&q)
		_, err := b.store.Deliveries(background, q)
		refused("deliveries: "+what, err)
	}
	for _, cursor := range []string{"x", "!!", "AAAAAAAA", first.Next + "A", first.Next[1:], events.Next[:8] + first.Next[8:]} {
		another("garbage", cursor, func(*queue.DeliveryQuery) {})
		_, err := b.store.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1, Cursor: cursor})
		refused("events: garbage", err)
		_, err = b.store.Records(background, queue.WebhookRecord, "", cursor, 1)
		refused("records: garbage", err)
	}
	another("events", events.Next, func(*queue.DeliveryQuery) {})
	another("records", records.Next, func(*queue.DeliveryQuery) {})
	another("webhook", first.Next, func(q *queue.DeliveryQuery) { q.WebhookID = "wh_2" })
	another("unknown webhook", first.Next, func(q *queue.DeliveryQuery) { q.WebhookID = "wh_3" })
	another("status", first.Next, func(q *queue.DeliveryQuery) { q.Status = webhook.Pending })
	another("event type", first.Next, func(q *queue.DeliveryQuery) { q.EventType = "project.created" })
	another("event", first.Next, func(q *queue.DeliveryQuery) { q.EventID = "evt_0001" })
	another("since", first.Next, func(q *queue.DeliveryQuery) { q.Since = b.now.Add(-time.Hour) })
	another("until", first.Next, func(q *queue.DeliveryQuery) { q.Until = b.now.Add(time.Hour) })
	_, err = b.store.Events(background, queue.EventQuery{ProjectID: "prj_2", Limit: 1, Cursor: events.Next})
	refused("events of another project", err)
	_, err = b.store.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1, Cursor: first.Next})
	refused("events: deliveries", err)
	_, err = b.store.Records(background, queue.HealthRecord, "", records.Next, 1)
	refused("records of another kind", err)
	_, err = b.store.Records(background, queue.WebhookRecord, "prj_1", records.Next, 1)
	refused("records of a project", err)

	// A cursor goes on where it stood, with another limit and after a restart.
	b.send("wh_1")
	b.crash()
	deliveries.Cursor, deliveries.Limit = first.Next, 5
	page, err := b.store.Deliveries(background, deliveries)
	if err != nil || len(page.Deliveries) != 2 || page.Deliveries[0].EventID != "evt_0002" || page.Next != "" {
		b.Errorf("after the cursor: %+v, %v", page, err)
	}
}

// testListsWhileDelivering reads pages while deliveries get their records, in
// all ways: none may be missing or come twice.
func testListsWhileDelivering(b *bench) {
	const events = 200
	for range events {
		b.send("wh_1")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, c := range b.claim("wh_1", events) {
			r := b.delivered(c)
			if i%2 == 0 {
				r = b.putOff(c, time.Hour)
			}
			if err := b.store.Finish(background, c.Claim, r); err != nil {
				b.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for _, limit := range []int{3, 1000} {
			seen := map[string]bool{}
			for _, d := range b.list(queue.DeliveryQuery{WebhookID: "wh_1", Limit: limit}) {
				if seen[d.ID] {
					b.Errorf("%s is listed twice", d.ID)
				}
				seen[d.ID] = true
			}
			if len(seen) != events {
				b.Errorf("%d of %d deliveries are listed", len(seen), events)
			}
		}
		if ds := b.list(queue.DeliveryQuery{WebhookID: "wh_1", EventID: "evt_0150"}); len(ds) != 1 {
			b.Errorf("%d deliveries of an event are listed", len(ds))
		}
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
