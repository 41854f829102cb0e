package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// BenchmarkManyWebhooks measures a project with 100 000 webhooks: how fast they
// are created, loaded at start and taken over by a reload, what each costs in
// memory, and how long a page takes.
func BenchmarkManyWebhooks(b *testing.B) {
	const n, writers = 100_000, 64
	dir := b.TempDir()
	open := func() *gateway.Gateway {
		store, err := badgerstore.Open(badgerstore.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		g, err := gateway.Open(b.Context(), gateway.Options{Store: store, Owner: "test", Logger: zap.NewNop()})
		if err != nil {
			b.Fatal(err)
		}
		return g
	}
	apply := func(g *gateway.Gateway) *gateway.Generation {
		s := withKeys(b, keyA, "")
		s.MaxWebhooks = n
		gen, err := g.Apply(b.Context(), s)
		if err != nil {
			b.Fatal(err)
		}
		return gen
	}
	took := func(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }

	g := open()
	apply(g)
	start := time.Now()
	var creating sync.WaitGroup
	for w := range writers {
		creating.Go(func() {
			for i := w; i < n; i += writers {
				spec := gateway.WebhookSpec{
					URL: fmt.Sprintf("https://customer-%d.example.com/webhooks", i), Events: []string{"project.*", "usage.limit_exceeded"},
					Filters: map[string]json.RawMessage{"project.name": json.RawMessage(fmt.Sprintf(`"Project %d"`, i))},
					Filter:  `data.id != "" and type != "x"`,
					Headers: []webhook.Header{{Name: "X-Api-Key", Value: fmt.Sprintf("a key of customer %d", i)}},
				}
				if _, _, err := g.CreateWebhook(context.Background(), ofOne, "proj_1", spec); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	creating.Wait()
	created := n / time.Since(start).Seconds()
	if err := g.Close(); err != nil {
		b.Fatal(err)
	}

	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		g = open()
		before := heap()
		start = time.Now()
		first := apply(g)
		b.ReportMetric(took(start), "load-ms")
		b.ReportMetric(float64(heap()-before)/n, "B/webhook")

		start = time.Now()
		apply(g)
		b.ReportMetric(took(start), "reload-ms")
		b.ReportMetric(float64(heap()-before)/n, "B/webhook-while-reloading")
		g.Withdraw(first)

		var cursor string
		var pages int
		start = time.Now()
		for {
			_, next, err := g.Webhooks(b.Context(), ofOne, "proj_1", gateway.Page{Limit: 200, Cursor: cursor})
			if err != nil {
				b.Fatal(err)
			}
			pages++
			if cursor = next; next == "" {
				break
			}
		}
		b.ReportMetric(took(start)/float64(pages), "page-ms")
		if err := g.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(created, "created/s") // the loop forgets what came before it
}
