package badgerstore_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

const (
	historyLimit  = 50   // deliveries to a page
	historyDeep   = 1000 // the far page
	historyAround = 20   // pages that are measured at each place
)

// historyLists are the lists of BenchmarkHistory, but for those of a period.
var historyLists = []struct {
	name  string
	query queue.DeliveryQuery
}{
	{"all", queue.DeliveryQuery{WebhookID: "wh_1"}},
	{"delivered", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Delivered}},
	{"pending", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Pending}},
	{"pending,unclaimed", queue.DeliveryQuery{WebhookID: "wh_2", Status: webhook.Pending}},
	{"failed", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Failed}},
	{"skipped", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Skipped}},
	{"filter_error", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.FilterError}},
	{"type", queue.DeliveryQuery{WebhookID: "wh_1", EventType: "t.3"}},
	{"type=none", queue.DeliveryQuery{WebhookID: "wh_1", EventType: "t.none"}},
	{"failed,type", queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Failed, EventType: "t.3"}},
	{"event", queue.DeliveryQuery{WebhookID: "wh_1", EventID: "evt_000007"}},
}

// BenchmarkHistory compares the first pages of each list with those about the
// thousandth, or the last ones if there are fewer, in stores of several sizes:
// WEBHOOK_GATEWAY_BENCH_DELIVERIES says how many deliveries each has. All are
// asked in turn, so that what else the machine does falls on all, and medians
// are reported. The ratio is the worst between two places of one store.
func BenchmarkHistory(b *testing.B) {
	var stores []*historyStore
	for _, size := range historySizes(b) {
		h := &historyStore{size: size, opts: badgerstore.Options{Dir: benchDir(b)}}
		h.store = mustOpen(b, h.opts)
		stores = append(stores, h)
		began := time.Now()
		h.fill(b)
		b.Logf("%d deliveries were made in %v", size, time.Since(began).Round(time.Second))
	}
	b.Run("fresh", func(b *testing.B) { compareLists(b, stores) })
	for _, h := range stores {
		mustClose(b, h.store) // so that all is in tables
		h.store = mustOpen(b, h.opts)
	}
	b.Run("reopened", func(b *testing.B) { compareLists(b, stores) })
}

func historySizes(b *testing.B) (sizes []int) {
	text := os.Getenv("WEBHOOK_GATEWAY_BENCH_DELIVERIES")
	if text == "" {
		text = "200000"
	}
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

func compareLists(b *testing.B, stores []*historyStore) {
	for _, l := range historyLists {
		b.Run(l.name, func(b *testing.B) {
			comparePages(b, stores, func(*historyStore) queue.DeliveryQuery { return l.query })
		})
	}
	b.Run("older half", func(b *testing.B) {
		comparePages(b, stores, func(h *historyStore) queue.DeliveryQuery {
			return queue.DeliveryQuery{WebhookID: "wh_1", Since: start, Until: h.half()}
		})
	})
	b.Run("failed,older half", func(b *testing.B) {
		comparePages(b, stores, func(h *historyStore) queue.DeliveryQuery {
			return queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Failed, Until: h.half()}
		})
	})
}

// comparePages measures the pages of a list at both places of all stores.
func comparePages(b *testing.B, stores []*historyStore, list func(*historyStore) queue.DeliveryQuery) {
	var places []*historyPlace
	for _, h := range stores {
		q := list(h)
		q.Limit = historyLimit
		cursors := h.cursors(b, q)
		places = append(places,
			&historyPlace{store: h.store, query: q, cursors: cursors[:min(historyAround, len(cursors))]},
			&historyPlace{store: h.store, query: q, cursors: cursors[max(0, len(cursors)-historyAround):]})
	}
	for i := 0; b.Loop(); i++ {
		for _, p := range places {
			p.ask(b, i)
		}
	}
	b.ReportMetric(0, "ns/op") // of all those pages together
	ratio := 0.0
	for i, h := range stores {
		near, far := places[2*i].median(), places[2*i+1].median()
		b.ReportMetric(near, fmt.Sprintf("%d:near-µs", h.size))
		b.ReportMetric(far, fmt.Sprintf("%d:far-µs", h.size))
		ratio = max(ratio, far/near)
	}
	b.ReportMetric(ratio, "ratio")
}

// A historyPlace is some pages of a list.
type historyPlace struct {
	store   *badgerstore.Store
	query   queue.DeliveryQuery
	cursors []string
	took    []time.Duration
}

func (p *historyPlace) ask(b *testing.B, i int) {
	p.query.Cursor = p.cursors[i%len(p.cursors)]
	began := time.Now()
	_, err := p.store.Deliveries(background, p.query)
	p.took = append(p.took, time.Since(began))
	if err != nil {
		b.Fatal(err)
	}
}

// median returns what a page took, in µs.
func (p *historyPlace) median() float64 {
	slices.Sort(p.took)
	return float64(p.took[len(p.took)/2]) / 1e3
}

// A historyStore is a store with a webhook that has much history.
type historyStore struct {
	size  int
	opts  badgerstore.Options
	store *badgerstore.Store
}

// half returns the time that half of the deliveries are older than.
func (h *historyStore) half() time.Time {
	return start.Add(time.Duration(h.size/2) * time.Millisecond)
}

// cursors returns the cursors of a list's first pages.
func (h *historyStore) cursors(b *testing.B, q queue.DeliveryQuery) []string {
	cursors := []string{""}
	for len(cursors) < historyDeep+historyAround/2 {
		page, err := h.store.Deliveries(background, q)
		if err != nil {
			b.Fatal(err)
		}
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
		cursors = append(cursors, q.Cursor)
	}
	return cursors
}

// fill gives wh_1 deliveries of ten types. Of 101 one each is skipped, has a
// filter error, fails at the second attempt, is delivered at the second, and
// waits for a retry; the others are delivered at once. wh_2 has a tenth of the
// events, too, and takes nothing: its newest deliveries are in memory, and the
// others in records.
func (h *historyStore) fill(b *testing.B) {
	b.Helper()
	h.publishAndFinish(b)
	if got := h.store.Stats().Deliveries[webhook.Delivered]; got < int64(h.size*9/10) {
		b.Fatalf("only %d were delivered", got)
	}
	badgerstore.PutOffOld(h.store)
	badgerstore.PutOffOld(h.store)
	mustSettle(b, h.store)
	pubs := make([]queue.Publication, min(1000, h.size/10))
	for i := range pubs {
		pubs[i] = publication(h.size + i)
		pubs[i].Targets[0].WebhookID = "wh_2"
	}
	if _, err := h.store.Publish(background, pubs); err != nil {
		b.Fatal(err)
	}
}

func (h *historyStore) publishAndFinish(b *testing.B) {
	const batch = 1000
	published := make(chan struct{}, 8)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(published)
		for n := 0; n < h.size; n += batch {
			pubs := make([]queue.Publication, min(batch, h.size-n))
			for i := range pubs {
				pubs[i] = historyPublication(n + i)
			}
			if _, err := h.store.Publish(background, pubs); err != nil {
				b.Error(err)
				return
			}
			published <- struct{}{}
		}
	})
	for range published {
		h.finish(b, batch+batch/10) // there are second attempts, too
	}
	wg.Wait()
	for h.finish(b, batch) > 0 {
	}
}

func historyPublication(n int) queue.Publication {
	p := publication(n)
	p.NewID = true
	p.Event.Type, p.Event.ReceivedAt = fmt.Sprintf("t.%d", n%10), start.Add(time.Duration(n)*time.Millisecond)
	switch n % 101 {
	case 0:
		p.Targets[0].Status = webhook.Skipped
	case 25:
		p.Targets[0].Status = webhook.FilterError
	}
	if n%10 == 0 {
		p.Targets = append(p.Targets, queue.Target{WebhookID: "wh_2", Status: webhook.Pending})
	}
	return p
}

// finish ends up to limit of what is due of wh_1, and returns how much it was.
func (h *historyStore) finish(b *testing.B, limit int) int {
	now, never := start.AddDate(1, 0, 0), start.AddDate(100, 0, 0)
	cs, _, err := h.store.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: limit, Now: now, Until: never})
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			if err := h.store.Finish(background, c.Claim, historyResult(c, never)); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	return len(cs)
}

func historyResult(c queue.Claimed, never time.Time) queue.Result {
	n, _ := strconv.Atoi(strings.TrimPrefix(c.Event.ID, "evt_"))
	again := c.Delivery.Attempts > 0
	switch kind := n % 101; {
	case kind == 50 && again:
		return result(c, webhook.Failed)
	case (kind == 50 || kind == 51) && !again:
		r := result(c, webhook.Pending)
		r.NextAttemptAt = c.Event.ReceivedAt
		return r
	case kind == 75:
		r := result(c, webhook.Pending)
		r.NextAttemptAt = never
		return r
	default:
		return result(c, webhook.Delivered)
	}
}
