package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The operational events: what the gateway publishes about webhooks (contract
// section 3).
const (
	typeWebhookDisabled = "webhook.disabled"
	typeDeliveryFailed  = "webhook.delivery_failed"
	typeBacklogFull     = "webhook.backlog_full"
)

// Announcement is an operational event as Options.Announce gets it.
type Announcement struct {
	Type      string // "webhook.disabled"
	WebhookID string
	ProjectID string // webhook.AllProjects if a webhook of all projects was disabled

	// Data is the event's data without the webhook's URL, which may hold a
	// token: announcements are logged.
	Data map[string]any
}

// operationalEvent is an operational event before it is published.
type operationalEvent struct {
	kind      string
	id        string // of the event; empty: any. A webhook's record has it until it is published
	webhookID string // what it is about; it never gets the event itself
	projectID string
	at        time.Time
	data      operationalData

	// quiet: it is only announced. A failure to deliver an operational event
	// makes no other, or two failing webhooks would go on for ever.
	quiet bool
}

// operationalData is the data member of all operational events, in the order of
// the samples in the catalogue.
type operationalData struct {
	WebhookID  string           `json:"webhook_id"`
	URL        string           `json:"url,omitempty"`
	Reason     string           `json:"reason,omitempty"`
	DeliveryID string           `json:"delivery_id,omitempty"`
	EventID    string           `json:"event_id,omitempty"`
	EventType  string           `json:"event_type,omitempty"`
	Attempts   *int             `json:"attempts,omitempty"`
	Outcome    *webhook.Outcome `json:"outcome,omitempty"`
	Pending    *int             `json:"pending,omitempty"`
}

// operations publishes what happens to webhooks, in a goroutine of its own, so
// that nobody waits for it. After Close nothing is left. What is not published yet
// when the process dies is lost, but for webhook.disabled: the record of the webhook
// says that it is owed, and it is published later, by the same id.
type operations struct {
	g       *Gateway
	queue   chan operationalEvent
	closing chan struct{} // closed by stop
	ended   sync.WaitGroup
	reports loop // of report

	failures budgets      // of webhook.delivery_failed, per webhook
	withheld atomic.Int64 // events that were not published, since the last log line
	owed     atomic.Bool  // some that a webhook's record has may have to be told again

	// full holds the webhooks that have too many deliveries pending, so that
	// each is told of once; flagged is their number. queued counts what waits in the
	// queue, by project.
	mu      sync.Mutex
	queued  map[string]int
	full    map[string]bool
	flagged atomic.Int32
}

// reportRound is the time between two reports.
const reportRound = time.Minute

// operationsQueue is how many operational events can wait, and operationsOfProject
// how many of one project, so that others find room. More are dropped.
const (
	operationsQueue     = 1024
	operationsOfProject = 256
)

func newOperations(g *Gateway) *operations {
	o := &operations{
		g:        g,
		queue:    make(chan operationalEvent, operationsQueue),
		closing:  make(chan struct{}),
		failures: budgets{anHour: 100},
		full:     make(map[string]bool),
		queued:   make(map[string]int),
	}
	o.owed.Store(true) // what a process before this one did not come to tell
	return o
}

// start begins to publish. The caller holds Gateway.mu.
func (o *operations) start() {
	o.ended.Go(o.run)
	o.reports.start(o.g.log, "reporting on operational events", 0, func(context.Context) time.Duration {
		o.report()
		return reportRound
	})
}

// stop publishes what waits and ends. Without start it does nothing. Call it
// when nothing more can happen, and once.
func (o *operations) stop() {
	if !o.reports.started() {
		return
	}
	o.reports.stop()
	close(o.closing)
	o.ended.Wait()
}

func (o *operations) run() {
	for {
		select {
		case e := <-o.queue:
			o.handle(e)
			continue
		case <-o.closing:
		}
		for {
			select {
			case e := <-o.queue:
				o.handle(e)
			default:
				return
			}
		}
	}
}

// add has an event published. It never blocks.
func (o *operations) add(e operationalEvent) {
	e.at = o.g.now()
	e.data.WebhookID = e.webhookID
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued[e.projectID] < operationsOfProject {
		select {
		case o.queue <- e:
			o.queued[e.projectID]++
			return
		default:
		}
	}
	o.withheld.Add(1)
	o.owed.Store(true)
}

// taken notes that an event has left the queue.
func (o *operations) taken(projectID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued[projectID]--; o.queued[projectID] == 0 {
		delete(o.queued, projectID)
	}
}

// disabled tells of a webhook that was disabled.
func (o *operations) disabled(h *stored) {
	sub := h.sub
	url, project := sub.URL, sub.ProjectID
	if s := o.g.inForce(sub.ID); s != nil { // the record of a static webhook has no URL, and maybe a project of before
		url, project = s.URL, s.ProjectID
	}
	o.add(operationalEvent{
		kind: typeWebhookDisabled, id: h.owedEvent, webhookID: sub.ID, projectID: project,
		data: operationalData{URL: url, Reason: sub.DisabledReason},
	})
}

// settled tells of a delivery that has failed for good just now: the first 100
// of a webhook in an hour, then at most one a second.
func (o *operations) settled(r *dispatch.Report) {
	d := r.Delivery
	if r.Status != webhook.Failed || d.Status != webhook.Pending || d.Test {
		return
	}
	if !o.failures.allow(d.WebhookID, o.g.now()) {
		o.withheld.Add(1)
		return
	}
	attempts, outcome := d.Attempts, webhook.Outcome(r.Reason) // expired
	if r.Attempt != nil {
		attempts, outcome = r.Attempt.Number, r.Attempt.Outcome
	}
	o.add(operationalEvent{
		kind: typeDeliveryFailed, webhookID: d.WebhookID, projectID: d.ProjectID,
		quiet: webhook.IsOperational(d.EventType),
		data: operationalData{
			DeliveryID: d.ID, EventID: d.EventID, EventType: d.EventType, Attempts: &attempts, Outcome: &outcome,
		},
	})
}

// backlog tells of a webhook that has too many deliveries pending, once until
// there is room for a tenth of the limit again. It is called for each delivery
// that is published.
func (o *operations) backlog(ev *webhook.Event, webhookID string, pending, limit int) {
	full := pending >= limit
	if !full && (o.flagged.Load() == 0 || pending > limit-limit/10) {
		return
	}
	if !o.flag(webhookID, full) || !full {
		return
	}
	o.g.log.Warn("too many deliveries of a webhook are pending; new ones are skipped",
		zap.String("webhook_id", webhookID), zap.Int("pending", pending))
	o.add(operationalEvent{
		kind: typeBacklogFull, webhookID: webhookID, projectID: ev.ProjectID,
		quiet: webhook.IsOperational(ev.Type),
		data:  operationalData{Pending: &pending},
	})
}

// flag notes whether a webhook's backlog is full. It returns whether that is new.
func (o *operations) flag(webhookID string, full bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full[webhookID] == full {
		return false
	}
	if full {
		o.full[webhookID] = true
	} else {
		delete(o.full, webhookID)
	}
	o.flagged.Store(int32(len(o.full)))
	return true
}

// forget drops what is known of a webhook that was deleted.
func (o *operations) forget(webhookID string) {
	if o.flagged.Load() > 0 {
		o.flag(webhookID, false)
	}
}

// report logs how many events were not published, and tells again what is owed.
func (o *operations) report() {
	if n := o.withheld.Swap(0); n > 0 {
		o.g.log.Warn("operational events were not published, there were too many", zap.Int64("events", n))
	}
	if !o.owed.Swap(false) {
		return
	}
	for _, h := range o.g.webhooks.all() {
		if h.owedEvent != "" {
			o.disabled(h)
		}
	}
}

// handle publishes one event and announces it.
func (o *operations) handle(e operationalEvent) {
	o.taken(e.projectID)
	defer func() {
		if p := recover(); p != nil {
			o.g.log.Error("panic while publishing an operational event",
				zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	data, err := json.Marshal(e.data)
	if err != nil {
		o.g.log.Error("operational event could not be made", zap.String("type", e.kind), zap.Error(err))
		return
	}
	// What was disabled for all projects is no project's business.
	if !e.quiet && e.projectID != webhook.AllProjects {
		err = o.publish(&e, data)
	}
	if err == nil || e.id == "" {
		o.announce(&e, data)
	}
	if err == nil && e.id != "" {
		err = o.g.eventPublished(e.webhookID, e.id)
	}
	if err != nil && !errors.Is(err, queue.ErrClosed) {
		o.owed.Store(true)
		o.g.log.Warn("operational event could not be published",
			zap.String("type", e.kind), zap.String("webhook_id", e.webhookID), zap.Error(err))
	}
}

// announce passes the event on to those outside of any project.
func (o *operations) announce(e *operationalEvent, data []byte) {
	if o.g.announce == nil {
		return
	}
	shown := make(map[string]any)
	if err := json.Unmarshal(data, &shown); err != nil {
		return // it was made just now
	}
	delete(shown, "url")
	shown["project_id"] = e.projectID
	o.g.announce(Announcement{Type: e.kind, WebhookID: e.webhookID, ProjectID: e.projectID, Data: shown})
}

// publish stores the event for the webhooks that subscribe to it. If there are
// none it is not stored: a receiver that is down for days would fill the disk.
func (o *operations) publish(e *operationalEvent, data []byte) error {
	gen := o.g.current.Load()
	if gen == nil {
		return nil
	}
	canonical, err := webhook.Canonical(data, false)
	if err != nil {
		return fmt.Errorf("canonical form: %w", err)
	}
	ctx := context.Background()
	p := publisher{g: o.g, gen: gen, now: e.at}
	event := webhook.Input{ID: e.id, Type: e.kind, ProjectID: e.projectID, Data: canonical}.Event(e.at, gen.settings.APIVersion)
	project, err := p.remembered(ctx, e.projectID)
	if err != nil {
		return fmt.Errorf("context of project: %w", err)
	}
	pub := queue.Publication{Event: &event, NewID: e.id == ""}
	env := filter.NewEvent(&event, project, gen.names)
	env.Limit(&o.g.filterTimes) // one project's slow filters must not keep the events of others waiting
	about := gen.webhook(e.webhookID)
	gen.index.Match(env, func(webhookID string, err error) {
		if webhookID == e.webhookID || about != nil && !mayTell(about, gen.webhook(webhookID)) {
			return
		}
		if t, ok := p.target(&event, webhookID, err); ok {
			pub.Targets = append(pub.Targets, t)
		}
	})
	if len(pub.Targets) == 0 {
		return nil
	}
	_, err = o.g.store.Publish(ctx, []queue.Publication{pub})
	return err
}

// mayTell says whether the owner of a webhook may know about another one. Those
// of all projects are nobody's business but that of their own kind.
func mayTell(about, told *webhook.Subscription) bool {
	return about.ProjectID != webhook.AllProjects || told != nil && told.ProjectID == webhook.AllProjects
}

// inForce returns a webhook as the settings in force have it, or nil.
func (g *Gateway) inForce(webhookID string) *webhook.Subscription {
	if gen := g.current.Load(); gen != nil {
		return gen.webhook(webhookID)
	}
	return nil
}
