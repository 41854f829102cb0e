package queuetest

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// modelRuns is how many random histories are tried; each opens a store several
// times, which is slow with the race detector. The flag -rapid.checks asks for
// another number.
const (
	modelRuns     = 5
	modelRunsRace = 2
)

// testModel compares a store with a model through random histories.
func testModel(t *testing.T, newOpener func(t testing.TB) Opener) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		before, runs := f.Value.String(), modelRuns
		if raceDetector {
			runs = modelRunsRace
		}
		if err := f.Value.Set(strconv.Itoa(runs)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(before) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := &bench{TB: t, opener: newOpener(t), now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
		s, err := b.opener.Open()
		b.must(err)
		b.store = s
		defer func() { _ = b.store.Close() }()
		m := &model{T: rt, bench: b, events: map[string]*modelEvent{}}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish,
			"claim":   m.claim,
			"finish":  m.finish,
			"release": m.release,
			"retry":   m.claimOne,
			"wait":    m.wait,
			"retire":  m.retire,
			"reopen":  func(*rapid.T) { m.bench.reopen(); m.restart() },
			"crash":   func(*rapid.T) { m.bench.crash(); m.restart() },
			"":        m.compare,
		})
		b.check()
	})
}

var modelWebhooks = []string{"wh_a", "wh_b", "wh_c"}

// A model is what a store should be: plain maps.
type model struct {
	*rapid.T
	bench  *bench
	events map[string]*modelEvent
	stale  []queue.Claimed // claims that have ended
}

type modelEvent struct {
	received   time.Time
	pending    int
	deliveries map[string]*modelDelivery // by webhook
}

type modelDelivery struct {
	id       string // known when it was claimed
	status   webhook.Status
	due      time.Time
	soonest  time.Time // when it may be due again after a restart
	attempts int
	replayed time.Time
	claim    *queue.Claimed
	was      webhook.Status // before the claim
}

func (m *model) each(fn func(webhookID string, d *modelDelivery)) {
	for _, ev := range m.events {
		for id, d := range ev.deliveries {
			fn(id, d)
		}
	}
}

func (m *model) publish(t *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(t, "events")
	pubs := make([]queue.Publication, n)
	for i := range pubs {
		ev := m.bench.event()
		ev.ID = fmt.Sprintf("evt_%d", rapid.IntRange(1, 40).Draw(t, "id"))
		pubs[i].Event = ev
		for _, id := range modelWebhooks {
			if status := rapid.SampledFrom([]webhook.Status{"", webhook.Pending, webhook.Pending, webhook.Skipped}).Draw(t, id); status != "" {
				pubs[i].Targets = append(pubs[i].Targets, queue.Target{WebhookID: id, Status: status})
			}
		}
	}
	for i, r := range m.bench.publish(pubs...) {
		ev := m.events[pubs[i].Event.ID]
		if repeat := ev != nil; repeat != (r.Stored != nil) {
			t.Fatalf("%s: repeat is %v, receipt %+v", pubs[i].Event.ID, repeat, r)
		}
		if ev == nil {
			ev = &modelEvent{received: m.bench.now, deliveries: map[string]*modelDelivery{}}
			for _, target := range pubs[i].Targets {
				ev.deliveries[target.WebhookID] = &modelDelivery{status: target.Status, due: m.bench.now, soonest: m.bench.now}
				if target.Status == webhook.Pending {
					ev.pending++
				}
			}
			m.events[pubs[i].Event.ID] = ev
		}
		if r.Deliveries != ev.pending {
			t.Fatalf("%s: receipt has %d deliveries, want %d", pubs[i].Event.ID, r.Deliveries, ev.pending)
		}
	}
}

// expire ends the model's claims of a webhook whose deadline has come.
func (m *model) expire(webhookID string) {
	m.each(func(id string, d *modelDelivery) {
		if id == webhookID && d.claim != nil && !m.bench.now.Before(d.claim.Claim.Until) {
			d.due = d.claim.Claim.Until
			m.end(d)
		}
	})
}

// end ends a claim without a result.
func (m *model) end(d *modelDelivery) {
	m.stale = append(m.stale, *d.claim)
	d.claim, d.status = nil, d.was
}

func (m *model) claim(t *rapid.T) {
	webhookID := rapid.SampledFrom(modelWebhooks).Draw(t, "webhook")
	limit := rapid.IntRange(1, 4).Draw(t, "max")
	m.expire(webhookID)
	due := 0
	m.each(func(id string, d *modelDelivery) {
		if id == webhookID && d.status == webhook.Pending && d.claim == nil && !d.due.After(m.bench.now) {
			due++
		}
	})
	cs, next := m.bench.claimNext(webhookID, limit)
	if want := min(due, limit); len(cs) != want {
		t.Fatalf("claimed %d of %s, want %d", len(cs), webhookID, want)
	}
	for _, c := range cs {
		d := m.events[c.Event.ID].deliveries[webhookID]
		if d.claim != nil || d.status != webhook.Pending || d.due.After(m.bench.now) || c.Delivery.Attempts != d.attempts {
			t.Fatalf("claimed %+v, model has %+v", c.Delivery, d)
		}
		d.claim, d.was, d.id = &c, d.status, c.Delivery.ID
	}
	var want time.Time
	m.each(func(id string, d *modelDelivery) {
		if id == webhookID && d.status == webhook.Pending && d.claim == nil && (want.IsZero() || d.due.Before(want)) {
			want = d.due
		}
	})
	switch {
	case want.After(m.bench.now) && !next.Equal(want), want.IsZero() != next.IsZero(), next.After(m.bench.now) && !next.Equal(want):
		t.Fatalf("next of %s is %v, want %v", webhookID, next, want)
	}
}

// claimed draws one of the deliveries that are claimed.
func (m *model) claimed(t *rapid.T) *modelDelivery {
	var ds []*modelDelivery
	m.each(func(_ string, d *modelDelivery) {
		if d.claim != nil {
			ds = append(ds, d)
		}
	})
	if len(ds) == 0 {
		t.Skip("nothing is claimed")
	}
	slices.SortFunc(ds, func(a, b *modelDelivery) int { return int(int64(a.claim.Claim.Token) - int64(b.claim.Claim.Token)) })
	return rapid.SampledFrom(ds).Draw(t, "claim")
}

func (m *model) finish(t *rapid.T) {
	if len(m.stale) > 0 && rapid.IntRange(0, 5).Draw(t, "stale") == 0 {
		c := rapid.SampledFrom(m.stale).Draw(t, "claim")
		if err := m.bench.store.Finish(background, c.Claim, m.bench.delivered(c)); !errors.Is(err, queue.ErrClaimLost) {
			t.Fatalf("Finish of an ended claim: %v", err)
		}
		return
	}
	d := m.claimed(t)
	c := *d.claim
	r := m.bench.delivered(c)
	r.Status = rapid.SampledFrom([]webhook.Status{webhook.Delivered, webhook.Pending, webhook.Pending, webhook.Failed}).Draw(t, "status")
	if r.Status == webhook.Pending {
		r.NextAttemptAt = m.bench.now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "wait")) * time.Second)
	}
	if rapid.IntRange(0, 3).Draw(t, "attempt") == 0 {
		r.Attempt = nil
	} else {
		d.attempts++
	}
	if rapid.IntRange(0, 3).Draw(t, "replay") == 0 {
		r.Replay, r.At = true, m.bench.now.Add(-time.Minute)
		d.replayed = r.At
	}
	m.bench.finish(c, r)
	m.stale = append(m.stale, c)
	d.claim, d.status, d.due, d.soonest = nil, r.Status, r.NextAttemptAt, r.NextAttemptAt
}

func (m *model) release(t *rapid.T) {
	d := m.claimed(t)
	due := m.bench.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "wait")) * time.Second)
	m.bench.must(m.bench.store.Release(background, d.claim.Claim, due))
	d.due = due
	m.end(d)
}

func (m *model) claimOne(t *rapid.T) {
	var ds []*modelDelivery
	m.each(func(id string, d *modelDelivery) {
		if d.id != "" {
			ds = append(ds, d)
		}
	})
	if len(ds) == 0 {
		t.Skip("no id is known")
	}
	slices.SortFunc(ds, func(a, b *modelDelivery) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	d := rapid.SampledFrom(ds).Draw(t, "delivery")
	m.each(func(id string, other *modelDelivery) {
		if other == d {
			m.expire(id)
		}
	})
	m.bench.claimOnly("wh_none", 0) // tells the store the time
	c, err := m.bench.store.ClaimOne(background, d.id, "tests", m.bench.now, m.bench.now.Add(time.Minute))
	if d.claim != nil {
		if !errors.Is(err, queue.ErrClaimed) {
			t.Fatalf("ClaimOne of a claimed delivery: %v", err)
		}
		return
	}
	m.bench.must(err)
	if c.Delivery.Status != d.status || c.Delivery.Attempts != d.attempts {
		t.Fatalf("claimed %+v, model has %+v", c.Delivery, d)
	}
	d.claim, d.was = &c, d.status
}

func (m *model) wait(t *rapid.T) {
	m.bench.now = m.bench.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds")) * time.Second)
}

func (m *model) retire(t *rapid.T) {
	before := m.bench.now.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "age")) * time.Second)
	var old []string
	for id, ev := range m.events {
		ended := ev.received.Before(before)
		for _, d := range ev.deliveries {
			ended = ended && d.status != webhook.Pending && d.claim == nil
		}
		if ended {
			old = append(old, id)
		}
	}
	m.bench.retire(before, len(old)+1, len(old), false)
	for _, id := range old {
		delete(m.events, id)
	}
}

func (m *model) restart() {
	m.each(func(_ string, d *modelDelivery) {
		if d.claim != nil {
			m.end(d)
		}
		d.due = d.soonest
	})
}

// compare checks what can be seen of the store.
func (m *model) compare(t *rapid.T) {
	counts := map[webhook.Status]int64{}
	backlog := map[string]int{}
	listed := map[string]int{}
	m.each(func(id string, d *modelDelivery) {
		status := d.status
		if d.claim != nil {
			status = d.was
		}
		counts[status]++
		listed[id]++
		if status == webhook.Pending {
			backlog[id]++
		}
	})
	st := m.bench.store.Stats()
	for _, s := range webhook.Statuses {
		if st.Deliveries[s] != counts[s] {
			t.Fatalf("%d are %s, want %d", st.Deliveries[s], s, counts[s])
		}
	}
	total := 0
	for _, id := range modelWebhooks {
		total += backlog[id]
		if n := m.bench.store.Backlog(id); n != backlog[id] {
			t.Fatalf("backlog of %s is %d, want %d", id, n, backlog[id])
		}
		ds := m.bench.list(queue.DeliveryQuery{WebhookID: id})
		if len(ds) != listed[id] {
			t.Fatalf("%d deliveries of %s are listed, want %d", len(ds), id, listed[id])
		}
		for _, d := range ds {
			want := m.events[d.EventID].deliveries[id]
			status := want.status
			if want.claim != nil {
				status = want.was
			}
			if d.Status != status || d.Attempts != want.attempts || !d.ReplayedAt.Equal(want.replayed) {
				t.Fatalf("listed %+v, model has %+v", d, want)
			}
		}
	}
	if n := m.bench.store.Backlog(""); n != total {
		t.Fatalf("backlog of all is %d, want %d", n, total)
	}
}
