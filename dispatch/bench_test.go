package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// BenchmarkDispatch measures what the Dispatcher and the Sender cost for one
// delivery, without a store and without a network: "hot" has everything due
// before it begins, "trickle" has one event at a time to an idle gateway.
func BenchmarkDispatch(b *testing.B) {
	for _, hooks := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("hot/webhooks=%d", hooks), func(b *testing.B) { benchDispatch(b, hooks, false) })
	}
	b.Run("trickle/webhooks=100", func(b *testing.B) { benchDispatch(b, 100, true) })
}

func benchDispatch(b *testing.B, hooks int, trickle bool) {
	store := newBenchStore(hooks)
	receivers := make(benchReceivers, hooks)
	for i := range hooks {
		sub := &webhook.Subscription{ID: store.ids[i], ProjectID: store.events[store.ids[i]].ProjectID, URL: "http://example.com/hook"}
		r, err := dispatch.NewReceiver(sub, signer.New([]webhook.Secret{{Value: testSecret}}), okTransport{}, defaults)
		if err != nil {
			b.Fatal(err)
		}
		receivers[sub.ID] = r
	}
	d := dispatch.New(dispatch.Options{Store: store, Receivers: receivers, Sender: dispatch.NewSender(nil), Owner: "bench"})
	b.ReportAllocs()
	b.ResetTimer()
	if trickle {
		if err := d.Start(); err != nil {
			b.Fatal(err)
		}
		for i := range b.N {
			store.add(i%hooks, 1)
			<-store.finished
		}
	} else {
		store.finishAfter = b.N
		for i := range hooks {
			n := b.N / hooks
			if i < b.N%hooks {
				n++
			}
			store.add(i, n)
		}
		if err := d.Start(); err != nil {
			b.Fatal(err)
		}
		<-store.finished
	}
	b.StopTimer()
	if err := d.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}

type benchReceivers map[string]*dispatch.Receiver

func (m benchReceivers) Receiver(id string) (*dispatch.Receiver, dispatch.State) {
	return m[id], dispatch.Active
}

// okTransport answers 200 at once.
type okTransport struct{}

func (okTransport) Send(context.Context, *egress.Request) (*http.Response, egress.Trace, error) {
	return &http.Response{StatusCode: 200, Body: http.NoBody}, egress.Trace{}, nil
}

// BenchmarkDispatchFromDisk has the real store and no network: claims from
// memory and disk, outcomes committed with fsync. 100 webhooks.
func BenchmarkDispatchFromDisk(b *testing.B) {
	store, err := badgerstore.Open(badgerstore.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	receivers := make(benchReceivers)
	var targets []queue.Target
	for i := range 100 {
		sub := &webhook.Subscription{ID: fmt.Sprintf("wh_%d", i), ProjectID: "proj_1", URL: "http://example.com/hook"}
		r, err := dispatch.NewReceiver(sub, signer.New([]webhook.Secret{{Value: testSecret}}), okTransport{}, defaults)
		if err != nil {
			b.Fatal(err)
		}
		receivers[sub.ID] = r
		targets = append(targets, queue.Target{WebhookID: sub.ID, Status: webhook.Pending})
	}
	for i := 0; i < b.N; i += len(targets) {
		ev := newEvent("proj_1", time.Now())
		ev.ID = fmt.Sprintf("evt_%d", i)
		if _, err := store.Publish(b.Context(), []queue.Publication{{Event: ev, Targets: targets}}); err != nil {
			b.Fatal(err)
		}
	}
	done := &doneObserver{left: (b.N + len(targets) - 1) / len(targets) * len(targets), done: make(chan struct{})}
	d := dispatch.New(dispatch.Options{Store: store, Receivers: receivers, Sender: dispatch.NewSender(nil), Observer: done})
	b.ReportAllocs()
	b.ResetTimer()
	if err := d.Start(); err != nil {
		b.Fatal(err)
	}
	<-done.done
	b.StopTimer()
	if err := errors.Join(d.Stop(b.Context()), store.Close()); err != nil {
		b.Fatal(err)
	}
}

// doneObserver closes done after a number of outcomes.
type doneObserver struct {
	seen
	mu   sync.Mutex
	left int
	done chan struct{}
}

func (o *doneObserver) Settled(dispatch.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left--; o.left == 0 {
		close(o.done)
	}
}

// benchStore counts deliveries instead of keeping them.
type benchStore struct {
	ids         []string
	events      map[string]*webhook.Event // by webhook, of ten projects
	due         time.Time
	finishAfter int
	finished    chan struct{}

	mu      sync.Mutex
	pending map[string]int
	watcher func(string, time.Time)
	done    int
	token   uint64
}

func newBenchStore(hooks int) *benchStore {
	s := &benchStore{
		pending: map[string]int{}, finished: make(chan struct{}, 1),
		events: map[string]*webhook.Event{}, due: time.Now(), finishAfter: 1,
	}
	for i := range hooks {
		id := fmt.Sprintf("wh_%d", i)
		s.ids = append(s.ids, id)
		s.events[id] = newEvent(fmt.Sprintf("proj_%d", i%10), time.Now())
	}
	return s
}

func (s *benchStore) add(hook, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.ids[hook]
	s.pending[id] += n
	if s.watcher != nil {
		s.watcher(id, s.due)
	}
}

func (s *benchStore) Watch(fn func(string, time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = fn
	for id, n := range s.pending {
		if fn != nil && n > 0 {
			fn(id, s.due)
		}
	}
	return nil
}

func (s *benchStore) Claim(_ context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.pending[r.WebhookID], r.Max)
	if n == 0 {
		return nil, time.Time{}, nil
	}
	s.pending[r.WebhookID] -= n
	out := make([]queue.Claimed, n)
	for i := range out {
		s.token++
		out[i] = queue.Claimed{
			Claim:    queue.Claim{DeliveryID: "dlv_1", WebhookID: r.WebhookID, Token: s.token, Until: r.Until},
			Delivery: webhook.Delivery{ID: "dlv_1", WebhookID: r.WebhookID, NextAttemptAt: s.due},
			Event:    s.events[r.WebhookID],
		}
	}
	if s.pending[r.WebhookID] > 0 {
		return out, s.due, nil
	}
	return out, time.Time{}, nil
}

func (s *benchStore) Finish(context.Context, queue.Claim, queue.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	if s.done%s.finishAfter == 0 {
		s.finished <- struct{}{}
	}
	return nil
}

func (s *benchStore) Backlog(string) int { return 0 }

func (s *benchStore) Release(context.Context, queue.Claim, time.Time) error { return nil }

// BenchmarkSend measures one attempt: "alone" without a network, "loopback"
// through egress to a receiver in this process, which costs as much again.
func BenchmarkSend(b *testing.B) {
	ev, d := newEvent("proj_1", time.Now()), &webhook.Delivery{ID: "dlv_1", WebhookID: "wh_1"}
	run := func(b *testing.B, r *dispatch.Receiver) {
		s := dispatch.NewSender(nil)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if a, v := s.Send(b.Context(), r, ev, d, 1, webhook.BySchedule); v.Decision != dispatch.Delivered {
					b.Fatalf("not delivered: %+v", a)
				}
			}
		})
	}
	b.Run("alone", func(b *testing.B) {
		r := newReceiver(b, "127.0.0.1:1")
		r.Transport = okTransport{}
		run(b, r)
	})
	b.Run("loopback", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(w, "ok")
		})}
		go func() { _ = srv.Serve(l) }()
		b.Cleanup(func() { srv.Close() })
		run(b, newReceiver(b, l.Addr().String()))
	})
}
