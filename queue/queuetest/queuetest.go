// Package queuetest proves that a store keeps the contract of queue.Store. A
// store's own tests call Run; what a store promises beyond the contract it
// tests itself. Faulty makes a store fail on demand, for the tests of those
// who use one.
package queuetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// An Opener opens one store, which outlives what Open returns.
type Opener interface {
	// Open opens the store. It is called first, and after Close.
	Open() (queue.Store, error)

	// Crash returns the store as it would be found if the process had been
	// killed now, and ends the given one, which Open or Crash returned.
	Crash(s queue.Store) (queue.Store, error)
}

// Run runs the conformance suite. newOpener returns the Opener of a new, empty
// store each time. If the store has a method Check() error it is called when
// nothing else is under way, and should verify everything the store knows
// must hold of its data.
func Run(t *testing.T, newOpener func(t testing.TB) Opener) { run(t, newOpener, cases) }

// RunLight is Run without the cases that take many seconds, for a second
// configuration of a store.
func RunLight(t *testing.T, newOpener func(t testing.TB) Opener) {
	run(t, newOpener, slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.heavy }))
}

func run(t *testing.T, newOpener func(t testing.TB) Opener, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, newOpener(t))
			c.run(b)
			b.check()
			b.reopen()
			b.check()
		})
	}
	t.Run("RandomHistoryMatchesModel", func(t *testing.T) { testModel(t, newOpener) })
}

var cases []testCase

type testCase struct {
	name  string
	run   func(b *bench)
	heavy bool
}

// conform adds cases; the files of this package call it for what they test.
func conform(more ...testCase) struct{} { //nolint:unparam // what is returned lets it be called at package level
	cases = append(cases, more...)
	return struct{}{}
}

// A bench is one test with its store. Its methods fail the test for an error.
type bench struct {
	testing.TB
	opener Opener
	store  queue.Store
	now    time.Time
	events int
}

func newBench(t testing.TB, o Opener) *bench {
	b := &bench{TB: t, opener: o, now: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	s, err := o.Open()
	b.must(err)
	b.store = s
	t.Cleanup(func() { _ = b.store.Close() })
	return b
}

var background = context.Background()

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// reopen closes the store and opens it again.
func (b *bench) reopen() {
	b.Helper()
	b.must(b.store.Close())
	s, err := b.opener.Open()
	b.must(err)
	b.store = s
}

// crash kills the store and opens what is left.
func (b *bench) crash() {
	b.Helper()
	s, err := b.opener.Crash(b.store)
	b.must(err)
	b.store = s
}

// check verifies the store's own invariants.
func (b *bench) check() {
	b.Helper()
	if c, ok := b.store.(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			b.Errorf("invariants do not hold: %v", err)
		}
	}
}

// event returns a new event of project prj_1, received now.
func (b *bench) event() *webhook.Event {
	b.events++
	id := fmt.Sprintf("evt_%04d", b.events)
	return &webhook.Event{
		ID:         id,
		Type:       "project.created",
		ProjectID:  "prj_1",
		CreatedAt:  "2024-01-01T00:00:00Z",
		APIVersion: "2021-09-01",
		Source:     "/tests",
		ReceivedAt: b.now,
		Body:       []byte(`{"id":"` + id + `","type":"project.created","data":{},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`),
		Context:    []byte(`{"id":"prj_1"}`),
	}
}

func pending(webhookIDs ...string) []queue.Target {
	ts := make([]queue.Target, len(webhookIDs))
	for i, id := range webhookIDs {
		ts[i] = queue.Target{WebhookID: id, Status: webhook.Pending}
	}
	return ts
}

func (b *bench) publish(pubs ...queue.Publication) []queue.Receipt {
	b.Helper()
	rs, err := b.store.Publish(background, pubs)
	b.must(err)
	if len(rs) != len(pubs) {
		b.Fatalf("Publish gave %d receipts for %d publications", len(rs), len(pubs))
	}
	return rs
}

// send publishes a new event to webhooks and returns it.
func (b *bench) send(webhookIDs ...string) *webhook.Event {
	b.Helper()
	ev := b.event()
	b.publish(queue.Publication{Event: ev, Targets: pending(webhookIDs...)})
	return ev
}

// claim claims until a minute from now.
func (b *bench) claim(webhookID string, limit int) []queue.Claimed {
	b.Helper()
	cs, _ := b.claimNext(webhookID, limit)
	return cs
}

// claimNext claims as long as the store says that there is more, up to limit.
func (b *bench) claimNext(webhookID string, limit int) (all []queue.Claimed, next time.Time) {
	b.Helper()
	for {
		room := limit - len(all)
		cs, next, err := b.store.Claim(background, queue.ClaimRequest{
			WebhookID: webhookID, Owner: "tests", Max: room, Now: b.now, Until: b.now.Add(time.Minute),
		})
		b.must(err)
		if len(cs) > room {
			b.Fatalf("Claim gave %d deliveries, more than %d", len(cs), room)
		}
		all = append(all, cs...)
		if len(cs) == 0 || len(cs) == room || next.IsZero() || next.After(b.now) {
			return all, next
		}
	}
}

// claimOnly claims everything due of a webhook and fails unless it is n.
func (b *bench) claimOnly(webhookID string, n int) []queue.Claimed {
	b.Helper()
	cs := b.claim(webhookID, n+1)
	if len(cs) != n {
		b.Fatalf("claimed %d deliveries of %s, want %d", len(cs), webhookID, n)
	}
	return cs
}

// attempt returns an attempt of a claimed delivery, with every field set.
func (b *bench) attempt(c queue.Claimed, o webhook.Outcome, code int) *webhook.Attempt {
	return &webhook.Attempt{
		Number:            c.Delivery.Attempts + 1,
		StartedAt:         b.now,
		Duration:          1500 * time.Microsecond,
		Outcome:           o,
		StatusCode:        code,
		Error:             "text",
		ResponseHeaders:   []webhook.Header{{Name: "Server", Value: "x"}, {Name: "Server", Value: ""}},
		ResponseBody:      []byte("body\x00\xff"),
		ResponseTruncated: true,
		SourceIP:          "192.0.2.1",
		RemoteIP:          "192.0.2.2",
		Trigger:           webhook.BySchedule,
	}
}

func (b *bench) delivered(c queue.Claimed) queue.Result {
	return queue.Result{Attempt: b.attempt(c, webhook.Success, 200), Status: webhook.Delivered, Step: c.Delivery.Step + 1}
}

func (b *bench) putOff(c queue.Claimed, wait time.Duration) queue.Result {
	return queue.Result{
		Attempt:       b.attempt(c, webhook.HTTP5xx, 503),
		Status:        webhook.Pending,
		NextAttemptAt: b.now.Add(wait),
		Step:          c.Delivery.Step + 1,
	}
}

func (b *bench) finish(c queue.Claimed, r queue.Result) {
	b.Helper()
	b.must(b.store.Finish(background, c.Claim, r))
}

func (b *bench) delivery(id string) webhook.Delivery {
	b.Helper()
	d, _, err := b.store.Delivery(background, id)
	b.must(err)
	return d
}

// list returns all deliveries that a query selects, page by page.
func (b *bench) list(q queue.DeliveryQuery) []webhook.Delivery {
	b.Helper()
	if q.Limit == 0 {
		q.Limit = 7
	}
	var all []webhook.Delivery
	for {
		page, err := b.store.Deliveries(background, q)
		b.must(err)
		if len(page.Deliveries) > q.Limit {
			b.Fatalf("page has %d deliveries, more than %d", len(page.Deliveries), q.Limit)
		}
		all = append(all, page.Deliveries...)
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
}
