package badgerstore_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// benchDir returns a directory on a real disk: the one that
// WEBHOOK_GATEWAY_BENCH_DIR names, else the working directory, because the
// directory for temporary files is often in memory.
func benchDir(b *testing.B) string {
	b.Helper()
	base := os.Getenv("WEBHOOK_GATEWAY_BENCH_DIR")
	if base == "" {
		base = "."
	}
	dir, err := os.MkdirTemp(base, "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func benchEvent(n int64, now time.Time) *webhook.Event {
	id := fmt.Sprintf("evt_%026d", n)
	return &webhook.Event{
		ID: id, Type: "project.created", ProjectID: "proj_123", CreatedAt: "2024-01-01T00:00:00Z", APIVersion: "2021-09-01",
		ReceivedAt: now,
		Body:       []byte(`{"id":"` + id + `","type":"project.created","data":{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`),
		Context:    []byte(`{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"}`),
	}
}

// concurrently runs do b.N times on n goroutines.
func concurrently(b *testing.B, n int, do func(i int64)) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				do(i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPublish publishes events with one delivery each.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("publishers=%d", n), func(b *testing.B) {
			s, err := badgerstore.Open(badgerstore.Options{Dir: benchDir(b), MemoryDeliveries: 1 << 30, MemoryBytes: 1 << 40})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			now := time.Now()
			concurrently(b, n, func(i int64) {
				_, err := s.Publish(context.Background(), []queue.Publication{{
					Event: benchEvent(i, now), NewID: true, Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Pending}},
				}})
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkTransactionPerPublish is what BenchmarkPublish is compared with:
// the same entries with the same durability, one transaction for each event.
func BenchmarkTransactionPerPublish(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("publishers=%d", n), func(b *testing.B) {
			db, err := badger.Open(badger.DefaultOptions(benchDir(b)).WithSyncWrites(true).WithLoggingLevel(badger.ERROR).
				WithCompression(options.None).WithBlockCacheSize(0).WithMemTableSize(16 << 20).WithNumMemtables(3).WithNumCompactors(3).
				WithBaseTableSize(8 << 20).WithBaseLevelSize(64 << 20).WithDetectConflicts(false))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			now := time.Now()
			concurrently(b, n, func(i int64) {
				ev := benchEvent(i, now)
				err := db.Update(func(txn *badger.Txn) error {
					if err := txn.Set([]byte("e"+ev.ID), append(ev.Body, ev.Context...)); err != nil {
						return err
					}
					if err := txn.Set([]byte("i"+ev.ProjectID+ev.ID), []byte(ev.ID)); err != nil {
						return err
					}
					return txn.Set([]byte("p"+ev.ProjectID+ev.ID), nil)
				})
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkLifecycle publishes, claims and finishes: an event's whole way.
func BenchmarkLifecycle(b *testing.B) {
	const workers = 64
	s, err := badgerstore.Open(badgerstore.Options{Dir: benchDir(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	ctx := context.Background()
	concurrently(b, workers, func(i int64) {
		_, err := s.Publish(ctx, []queue.Publication{{
			Event: benchEvent(i, now), NewID: true, Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Pending}},
		}})
		if err != nil {
			b.Error(err)
			return
		}
		cs, _, err := s.Claim(ctx, queue.ClaimRequest{WebhookID: "wh_1", Owner: "bench", Max: 1, Now: now, Until: now.Add(time.Hour)})
		if err != nil || len(cs) != 1 {
			b.Errorf("claimed %d, %v", len(cs), err)
			return
		}
		err = s.Finish(ctx, cs[0].Claim, queue.Result{
			Status: webhook.Delivered, Step: 1,
			Attempt: &webhook.Attempt{
				Number: 1, StartedAt: now, Duration: time.Millisecond, Outcome: webhook.Success, StatusCode: 200, Trigger: webhook.BySchedule,
				ResponseHeaders: []webhook.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Date", Value: "Mon, 01 Jan 2024 00:00:00 GMT"}},
				ResponseBody:    []byte("ok"), SourceIP: "127.0.0.1", RemoteIP: "127.0.0.1",
			},
		})
		if err != nil {
			b.Error(err)
		}
	})
	if n := s.Backlog("wh_1"); n != 0 {
		b.Errorf("backlog is %d", n)
	}
}
