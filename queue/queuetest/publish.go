package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

var _ = conform(
	testCase{name: "PublishedEventComesBackWhole", run: testEventComesBack},
	testCase{name: "PublishedDeliveryCanBeClaimedWithItsEvent", run: testClaimedWithEvent},
	testCase{name: "TargetsBeginAsTold", run: testTargetsBegin},
	testCase{name: "RepeatChangesNothing", run: testRepeat},
	testCase{name: "RepeatInOneCall", run: testRepeatInCall},
	testCase{name: "ConcurrentRepeatsStoreOnce", run: testConcurrentRepeats},
	testCase{name: "SameIDInAnotherProjectIsAnotherEvent", run: testOtherProject},
	testCase{name: "EventProjects", run: testEventProjects},
	testCase{name: "EventWithoutTargets", run: testNoTargets},
	testCase{name: "RefusedPublicationStoresNothing", run: testRefused},
	testCase{name: "TestEventsMarkTheirDeliveries", run: testTestMark},
	testCase{name: "RemembersProjects", run: testRemember},
	testCase{name: "PublishSurvivesCrash", run: testPublishCrash},
	testCase{name: "FanOutTo20000", run: func(b *bench) { testFanOut(b, 20_000) }, heavy: true},
	testCase{name: "FanOutTo100000", run: func(b *bench) { testFanOut(b, 100_000) }, heavy: true},
	testCase{name: "BatchOf1000To20", run: testBatch, heavy: true},
)

func testEventComesBack(b *bench) {
	ev := b.event()
	bare := &webhook.Event{ID: "evt_bare", Type: "a.b", ProjectID: "prj_1", ReceivedAt: b.now, Body: []byte("{}")}
	b.publish(queue.Publication{Event: ev}, queue.Publication{Event: bare})
	for range 2 {
		for _, want := range []*webhook.Event{ev, bare} {
			got, err := b.store.Event(background, want.ProjectID, want.ID)
			b.must(err)
			if diff := cmp.Diff(*want, got); diff != "" {
				b.Errorf("event differs (-want +got):\n%s", diff)
			}
		}
		if _, err := b.store.Event(background, "prj_2", ev.ID); !errors.Is(err, queue.ErrNotFound) {
			b.Errorf("event of another project: %v, want ErrNotFound", err)
		}
		b.crash()
	}
}

func testClaimedWithEvent(b *bench) {
	ev := b.send("wh_1")
	for range 2 {
		c := b.claimOnly("wh_1", 1)[0]
		if diff := cmp.Diff(ev, c.Event); diff != "" {
			b.Errorf("event differs (-want +got):\n%s", diff)
		}
		want := webhook.Delivery{
			ID: c.Claim.DeliveryID, WebhookID: "wh_1", EventID: ev.ID, EventType: ev.Type, ProjectID: ev.ProjectID,
			Status: webhook.Pending, NextAttemptAt: b.now, CreatedAt: b.now,
		}
		if diff := cmp.Diff(want, c.Delivery); diff != "" {
			b.Errorf("delivery differs (-want +got):\n%s", diff)
		}
		if !strings.HasPrefix(want.ID, "dlv_") || c.Claim.WebhookID != "wh_1" || c.Claim.Owner != "tests" {
			b.Errorf("claim is %+v", c.Claim)
		}
		if diff := cmp.Diff(want, b.delivery(want.ID)); diff != "" {
			b.Errorf("Delivery differs (-want +got):\n%s", diff)
		}
		b.crash()
	}
}

func testTargetsBegin(b *bench) {
	long := strings.Repeat("x", 300)
	rs := b.publish(queue.Publication{Event: b.event(), Targets: []queue.Target{
		{WebhookID: "wh_s", Status: webhook.Skipped, Reason: "backlog_full"},
		{WebhookID: "wh_p", Status: webhook.Pending},
		{WebhookID: "wh_f", Status: webhook.FilterError, Reason: long},
	}})
	if rs[0].Deliveries != 1 || rs[0].Stored != nil {
		b.Errorf("receipt is %+v, want 1 delivery, not stored before", rs[0])
	}
	for range 2 {
		for id, want := range map[string]webhook.Delivery{
			"wh_s": {Status: webhook.Skipped, Reason: "backlog_full", FinishedAt: b.now},
			"wh_p": {Status: webhook.Pending, NextAttemptAt: b.now},
			"wh_f": {Status: webhook.FilterError, Reason: long[:256], FinishedAt: b.now},
		} {
			ds := b.list(queue.DeliveryQuery{WebhookID: id})
			if len(ds) != 1 {
				b.Fatalf("%s has %d deliveries, want 1", id, len(ds))
			}
			got := webhook.Delivery{Status: ds[0].Status, Reason: ds[0].Reason, NextAttemptAt: ds[0].NextAttemptAt, FinishedAt: ds[0].FinishedAt}
			if diff := cmp.Diff(want, got); diff != "" {
				b.Errorf("%s differs (-want +got):\n%s", id, diff)
			}
			if n := len(b.claim(id, 5)); (n == 1) != (id == "wh_p") {
				b.Errorf("claimed %d deliveries of %s", n, id)
			}
		}
		b.crash()
	}
	st := b.store.Stats().Deliveries
	if st[webhook.Skipped] != 1 || st[webhook.Pending] != 1 || st[webhook.FilterError] != 1 {
		b.Errorf("counts are %v", st)
	}
}

func testRepeat(b *bench) {
	ev := b.send("wh_1", "wh_2")
	repeat := func() {
		b.Helper()
		other := b.event()
		other.ID = ev.ID
		other.Type = "project.updated"
		r := b.publish(queue.Publication{Event: other, Targets: pending("wh_3"), Remember: []byte(`{"new":1}`)})[0]
		if r.Deliveries != 2 || r.Stored == nil {
			b.Fatalf("receipt of the repeat is %+v, want 2 deliveries and the stored event", r)
		}
		if diff := cmp.Diff(ev, r.Stored); diff != "" {
			b.Errorf("stored event differs (-want +got):\n%s", diff)
		}
		b.claimOnly("wh_3", 0)
		if ctx, err := b.store.Context(background, ev.ProjectID); ctx != nil || err != nil {
			b.Errorf("a repeat was remembered: %s, %v", ctx, err)
		}
	}
	repeat()
	for _, c := range b.claimOnly("wh_1", 1) {
		b.finish(c, b.delivered(c))
	}
	repeat()
	b.crash()
	repeat()
	b.claimOnly("wh_1", 0)
	b.claimOnly("wh_2", 1)
}

func testRepeatInCall(b *bench) {
	first, second := b.event(), b.event()
	second.ID = first.ID
	rs := b.publish(
		queue.Publication{Event: first, Targets: pending("wh_1")},
		queue.Publication{Event: second, Targets: pending("wh_1", "wh_2")},
		queue.Publication{Event: b.event(), Targets: pending("wh_2")},
	)
	if rs[0].Stored != nil || rs[2].Stored != nil {
		b.Errorf("receipts are %+v; the first and the third are new", rs)
	}
	if rs[1].Stored == nil || rs[1].Deliveries != 1 || !bytes.Equal(rs[1].Stored.Body, first.Body) {
		b.Errorf("receipt of the repeat is %+v", rs[1])
	}
	b.claimOnly("wh_1", 1)
	b.claimOnly("wh_2", 1)
}

func testConcurrentRepeats(b *bench) {
	const calls, ids = 8, 20
	var mu sync.Mutex
	stored := map[string]int{}
	var wg sync.WaitGroup
	for range calls {
		pubs := make([]queue.Publication, ids)
		for i := range pubs {
			ev := b.event()
			ev.ID = fmt.Sprintf("evt_same_%d", i)
			pubs[i] = queue.Publication{Event: ev, Targets: pending("wh_1")}
		}
		wg.Go(func() {
			rs, err := b.store.Publish(background, pubs)
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, r := range rs {
				if r.Stored == nil {
					stored[pubs[i].Event.ID]++
				}
				if r.Deliveries != 1 {
					b.Errorf("receipt has %d deliveries, want 1", r.Deliveries)
				}
			}
		})
	}
	wg.Wait()
	for id, n := range stored {
		if n != 1 {
			b.Errorf("%s was stored %d times", id, n)
		}
	}
	b.claimOnly("wh_1", ids)
}

func testOtherProject(b *bench) {
	one, two := b.event(), b.event()
	two.ID, two.ProjectID = one.ID, "prj_2"
	rs := b.publish(
		queue.Publication{Event: one, Targets: pending("wh_1")},
		queue.Publication{Event: two, Targets: pending("wh_1")},
	)
	if rs[0].Stored != nil || rs[1].Stored != nil {
		b.Errorf("receipts are %+v, want two new events", rs)
	}
	b.claimOnly("wh_1", 2)
	if ds := b.list(queue.DeliveryQuery{WebhookID: "wh_1", EventID: one.ID}); len(ds) != 2 {
		b.Errorf("%d deliveries have the id, want 2", len(ds))
	}
}

func testNoTargets(b *bench) {
	r := b.publish(queue.Publication{Event: b.event()})[0]
	if r.Deliveries != 0 || r.Stored != nil {
		b.Errorf("receipt is %+v", r)
	}
	if rs, err := b.store.Publish(background, nil); err != nil || len(rs) != 0 {
		b.Errorf("Publish of nothing gave %v, %v", rs, err)
	}
}

func testRefused(b *bench) {
	good, bad := b.event(), b.event()
	_, err := b.store.Publish(background, []queue.Publication{
		{Event: good, Targets: pending("wh_1")},
		{Event: bad, Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Delivered}}},
	})
	if err == nil {
		b.Error("a delivery began as delivered")
	}
	b.claimOnly("wh_1", 0)
	if r := b.publish(queue.Publication{Event: good, Targets: pending("wh_1")})[0]; r.Stored != nil {
		b.Error("the refused event is known")
	}
	b.claimOnly("wh_1", 1)
}

func testTestMark(b *bench) {
	b.publish(queue.Publication{Event: b.event(), Targets: pending("wh_1"), Test: true})
	for range 2 {
		c := b.claimOnly("wh_1", 1)[0]
		if !c.Delivery.Test || !b.delivery(c.Delivery.ID).Test {
			b.Error("the delivery of a test event is not marked")
		}
		b.finish(c, b.putOff(c, 0))
		b.crash()
	}
}

func testRemember(b *bench) {
	context := func(want string) {
		b.Helper()
		got, err := b.store.Context(background, "prj_1")
		b.must(err)
		if string(got) != want || (got == nil) != (want == "") {
			b.Errorf("remembered %q, want %q", got, want)
		}
		clear(got) // it is the caller's
	}
	remember := func(text string, forget bool) queue.Publication {
		p := queue.Publication{Event: b.event(), Forget: forget}
		if text != "" {
			p.Remember = []byte(text)
		}
		return p
	}
	context("")
	one := remember("one", false)
	b.publish(one)
	clear(one.Remember)
	context("one")
	b.publish(remember("", false))
	context("one")
	b.publish(remember("two", false), remember("three", false), remember("three", false))
	context("three")
	b.crash()
	context("three")
	b.publish(remember("", true))
	context("")
	b.publish(remember("four", true))
	context("")
	b.publish(remember("", true), remember("five", false))
	context("five")
	b.publish(remember("six", false), remember("five", false))
	context("five")
	b.reopen()
	context("five")
}

func testPublishCrash(b *bench) {
	var want []string
	for range 30 {
		want = append(want, b.send("wh_1", "wh_2").ID)
	}
	b.crash()
	for _, id := range []string{"wh_1", "wh_2"} {
		var got []string
		for _, c := range b.claimOnly(id, len(want)) {
			got = append(got, c.Event.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("claimed events differ (-want +got):\n%s", diff)
		}
	}
}

func testFanOut(b *bench, n int) {
	if raceDetector && n > 20_000 {
		b.Skip("too slow with the race detector")
	}
	targets := make([]queue.Target, n)
	for i := range targets {
		targets[i] = queue.Target{WebhookID: fmt.Sprintf("wh_%06d", i), Status: webhook.Pending}
		if i%1000 == 7 {
			targets[i].Status, targets[i].Reason = webhook.FilterError, fmt.Sprintf("error %d", i)
		}
	}
	failed := n / 1000
	if got := b.publish(queue.Publication{Event: b.event(), Targets: targets})[0].Deliveries; got != n-failed {
		b.Errorf("receipt has %d deliveries, want %d", got, n-failed)
	}
	ids := map[string]bool{}
	for i := 0; i < n; i += max(1, n/500) {
		want := 1
		if targets[i].Status != webhook.Pending {
			want = 0
		}
		for _, c := range b.claimOnly(targets[i].WebhookID, want) {
			if ids[c.Delivery.ID] {
				b.Fatalf("%s is the id of two deliveries", c.Delivery.ID)
			}
			ids[c.Delivery.ID] = true
			b.finish(c, b.delivered(c))
		}
	}
	st := b.store.Stats()
	if got, want := st.Deliveries[webhook.Pending], int64(n-failed-len(ids)); got != want || b.store.Backlog("") != int(want) {
		b.Errorf("%d are pending, backlog is %d, want %d", got, b.store.Backlog(""), want)
	}
	b.crash()
	if got := b.store.Stats().Deliveries; !cmp.Equal(got, st.Deliveries) {
		b.Errorf("counts are %v after a crash, %v before", got, st.Deliveries)
	}
	if got, want := b.store.Backlog(""), n-failed-len(ids); got != want {
		b.Errorf("backlog is %d after a crash, want %d", got, want)
	}
	b.claimOnly(targets[n-1].WebhookID, 1)
}

func testBatch(b *bench) {
	const events, webhooks = 1000, 20
	ids := make([]string, webhooks)
	for i := range ids {
		ids[i] = fmt.Sprintf("wh_%d", i)
	}
	pubs := make([]queue.Publication, events)
	for i := range pubs {
		ev := b.event()
		ev.Body = bytes.Repeat([]byte{'x'}, 4<<10)
		pubs[i] = queue.Publication{Event: ev, Targets: pending(ids...)}
	}
	for _, r := range b.publish(pubs...) {
		if r.Deliveries != webhooks || r.Stored != nil {
			b.Fatalf("receipt is %+v", r)
		}
	}
	for _, id := range ids {
		if n := b.store.Backlog(id); n != events {
			b.Errorf("backlog of %s is %d, want %d", id, n, events)
		}
	}
	cs := b.claimOnly(ids[3], events)
	for i, c := range cs {
		if c.Event.ID != pubs[i].Event.ID {
			b.Fatalf("claimed %s at place %d, want %s", c.Event.ID, i, pubs[i].Event.ID)
		}
	}
}

func testEventProjects(b *bench) {
	for _, project := range []string{"prj_c", "prj_a", "", "prj_b"} {
		ev := b.event()
		ev.ID, ev.ProjectID = "evt_shared", project
		b.publish(queue.Publication{Event: ev, Targets: pending("wh_1")})
	}
	longer := b.event()
	longer.ID = "evt_shared_not"
	b.publish(queue.Publication{Event: longer})
	want := func(id string, limit int, want ...string) {
		b.Helper()
		got, err := b.store.EventProjects(background, id, limit)
		b.must(err)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			b.Errorf("projects of %s differ (-want +got):\n%s", id, diff)
		}
	}
	for range 2 {
		want("evt_shared", 9, "", "prj_a", "prj_b", "prj_c")
		want("evt_shared", 2, "", "prj_a")
		want("evt_shared_not", 2, "prj_1")
		want("evt_share", 2)
		want("", 2)
		want(strings.Repeat("x", 1000), 2)
		b.crash()
	}
	for _, c := range b.claimOnly("wh_1", 4) {
		b.finish(c, b.delivered(c))
	}
	b.retire(b.now.Add(time.Second), 10, 5, false)
	want("evt_shared", 9)
}
