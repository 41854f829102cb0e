package caddymodule

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// metrics are those of the process. They live as long as it does, so that
// counters survive reloads; each configuration registers them in its registry.
var metrics = newMetrics()

// meter counts what happens (contract section 5). There are no labels by URL,
// webhook or project: their number has no bound.
type meter struct {
	events          *prometheus.CounterVec
	attempts        *prometheus.CounterVec
	attemptDuration prometheus.Histogram
	deliveryLatency prometheus.Histogram
	filterErrors    prometheus.Counter
	commitDuration  prometheus.Histogram
	commitSize      prometheus.Histogram
	store           storeCollector

	// The counters of each label value, looked up once.
	byResult  map[gateway.Result]prometheus.Counter
	byOutcome map[webhook.Outcome]prometheus.Counter
}

func newMetrics() *meter {
	const ns, sub = "caddy", "webhook_gateway"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: ns, Subsystem: sub, Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: name, Help: help, Buckets: buckets,
		})
	}
	m := &meter{
		events: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("events_total", "Events that were published, by result.")), []string{"result"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("attempts_total", "Delivery attempts, by outcome.")), []string{"outcome"}),
		attemptDuration: histogram("attempt_duration_seconds",
			"Time from the start of an attempt to the response headers or the failure.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}),
		deliveryLatency: histogram("delivery_latency_seconds",
			"Time from the acceptance of an event to its successful delivery.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 60, 300, 900, 3600, 18000}),
		filterErrors: prometheus.NewCounter(prometheus.CounterOpts(
			opts("filter_errors_total", "Filters that failed on an event."))),
		commitDuration: histogram("store_commit_seconds",
			"Time a commit to the store took, with its sync to disk.",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1}),
		commitSize: histogram("store_commit_batch_size",
			"Records that one commit to the store wrote.",
			[]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000}),
		store:     newStoreCollector(),
		byResult:  make(map[gateway.Result]prometheus.Counter),
		byOutcome: make(map[webhook.Outcome]prometheus.Counter),
	}
	for _, r := range gateway.Results {
		m.byResult[r] = m.events.WithLabelValues(string(r))
	}
	for _, o := range webhook.Outcomes {
		m.byOutcome[o] = m.attempts.WithLabelValues(string(o))
	}
	return m
}

// register adds the metrics to a configuration's registry. Several apps of one
// process register the same ones.
func (m *meter) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.events, m.attempts, m.attemptDuration, m.deliveryLatency,
		m.filterErrors, m.commitDuration, m.commitSize, m.store,
	} {
		if err := r.Register(c); err != nil {
			if _, again := errors.AsType[prometheus.AlreadyRegisteredError](err); !again {
				return err
			}
		}
	}
	return nil
}

// EventPublished implements gateway.Observer.
func (m *meter) EventPublished(r gateway.Result) { m.byResult[r].Inc() }

// FilterFailed implements gateway.Observer.
func (m *meter) FilterFailed() { m.filterErrors.Inc() }

// Settled implements dispatch.Observer.
func (m *meter) Settled(r dispatch.Report) {
	if r.Attempt == nil {
		return
	}
	m.byOutcome[r.Attempt.Outcome].Inc()
	m.attemptDuration.Observe(r.Attempt.Duration.Seconds())
	if r.Status == webhook.Delivered {
		m.deliveryLatency.Observe(r.Latency.Seconds())
	}
}

// Gone, NotMade, ClaimLost and Tripped implement dispatch.Observer. What they
// tell is in the log.
func (m *meter) Gone(*webhook.Subscription)       {}
func (m *meter) NotMade(string, *webhook.Attempt) {}
func (m *meter) ClaimLost(string)                 {}
func (m *meter) Tripped(string, bool)             {}

// storeCommitted counts a commit of the store.
func (m *meter) storeCommitted(took time.Duration, records int) {
	m.commitDuration.Observe(took.Seconds())
	m.commitSize.Observe(float64(records))
}

// storeCollector reads the state of the open stores when it is scraped.
type storeCollector struct {
	deliveries, oldestDue, freeBytes, down *prometheus.Desc
}

func newStoreCollector() storeCollector {
	name := func(n string) string { return prometheus.BuildFQName("caddy", "webhook_gateway", n) }
	return storeCollector{
		deliveries: prometheus.NewDesc(name("deliveries"), "Deliveries in the store, by status.", []string{"status"}, nil),
		oldestDue:  prometheus.NewDesc(name("oldest_due_seconds"), "How long the longest waiting delivery has been due; 0 if none is.", nil, nil),
		freeBytes:  prometheus.NewDesc(name("store_free_bytes"), "Space that is left for the store.", nil, nil),
		down:       prometheus.NewDesc(name("receivers_down"), "Webhooks whose deliveries wait because their receivers do not answer.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c storeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.deliveries
	ch <- c.oldestDue
	ch <- c.freeBytes
	ch <- c.down
}

// Collect implements prometheus.Collector. While a reload moves to another
// store two are open; their counts are added up.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	var open []*engine
	engines.Range(func(_, value any) bool {
		open = append(open, value.(*engine))
		return true
	})
	if len(open) == 0 {
		return
	}
	var (
		counts  = make(map[webhook.Status]int64)
		overdue time.Duration
		free    int64 = -1
		down    int
	)
	for _, e := range open {
		s := e.gateway.Stats()
		for status, n := range s.Deliveries {
			counts[status] += n
		}
		overdue = max(overdue, sinceDue(s))
		down += e.gateway.ReceiversDown()
		if s.FreeBytes >= 0 && (free < 0 || s.FreeBytes < free) {
			free = s.FreeBytes
		}
	}
	for _, status := range webhook.Statuses {
		ch <- prometheus.MustNewConstMetric(c.deliveries, prometheus.GaugeValue, float64(counts[status]), string(status))
	}
	ch <- prometheus.MustNewConstMetric(c.oldestDue, prometheus.GaugeValue, overdue.Seconds())
	ch <- prometheus.MustNewConstMetric(c.down, prometheus.GaugeValue, float64(down))
	if free >= 0 {
		ch <- prometheus.MustNewConstMetric(c.freeBytes, prometheus.GaugeValue, float64(free))
	}
}

// sinceDue returns for how long the longest waiting delivery has been due.
func sinceDue(s queue.Stats) time.Duration {
	if s.OldestDue.IsZero() {
		return 0
	}
	return max(0, time.Since(s.OldestDue))
}

// Interface guards
var (
	_ gateway.Observer     = (*meter)(nil)
	_ prometheus.Collector = storeCollector{}
)
