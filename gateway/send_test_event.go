package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The limits of test events.
const (
	// testsPerMinute is how many may be sent to one webhook in any minute.
	testsPerMinute = 10

	// maxTests is how many may be in flight, to all webhooks. They take no
	// worker of the dispatcher, so that a backlog does not delay them.
	maxTests = 64

	// testSlack is what sending may take beside the receiver's timeout: the
	// response body, and writing down what came of it.
	testSlack = 30 * time.Second
)

// testEventPrefix begins the ids of test events.
const testEventPrefix = "evt_test_"

// reasonTest is the reason of a test delivery that has not been sent yet, or
// was not, because the process ended.
const reasonTest = "test"

// SendTest sends a test event to a webhook now and returns what came of it: a
// sample of its type, or the data that was asked for. Whatever the webhook's
// status, events and filters say, it is sent, by the same guard and signer as
// any other. It is in the log of deliveries, is never retried, and does not
// count for or against the webhook. When ctx ends the attempt goes on.
func (g *Gateway) SendTest(ctx context.Context, by *Key, webhookID string, r TestRequest) (DeliveryDetail, error) {
	if err := RequireScope(by, ScopeManage); err != nil {
		return DeliveryDetail{}, err
	}
	if _, err := g.visible(by, webhookID); err != nil {
		return DeliveryDetail{}, err
	}
	gen, err := g.generation()
	if err != nil {
		return DeliveryDetail{}, err
	}
	sub := gen.webhook(webhookID)
	if sub == nil {
		return DeliveryDetail{}, conflict("The webhook is missing from the configuration; nothing can be sent to it.")
	}
	receiver, err := gen.receiver(sub)
	if err != nil {
		return DeliveryDetail{}, fmt.Errorf("test webhook %s: %w", webhookID, err)
	}
	ev, err := gen.testEvent(sub, r, g.now())
	if err != nil {
		return DeliveryDetail{}, err
	}
	done, err := g.tests.begin(webhookID)
	if err != nil {
		return DeliveryDetail{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiver.Timeout+testSlack)
	defer cancel()
	return g.sendTest(ctx, receiver, ev)
}

// testEvent makes a test event for a webhook.
func (gen *Generation) testEvent(sub *webhook.Subscription, r TestRequest, now time.Time) (*webhook.Event, error) {
	s := gen.settings
	name := r.Type
	if name == "" {
		name = firstType(s.Catalogue, sub.Events)
	}
	kind, ok := s.Catalogue.Lookup(name)
	if !ok {
		return nil, problem.New(problem.Invalid, "The test event breaks a rule.",
			problem.Item{Code: problem.UnknownType, Pointer: "#/type", Detail: "Name an event type of the catalogue."})
	}
	data := kind.Sample
	if r.Data != nil {
		var err error
		if data, err = testData(r.Data, s.PreserveUnsafe); err != nil {
			return nil, err
		}
	}
	ev := webhook.Input{
		ID: testEventPrefix + ulidOf(now), Type: kind.Type, ProjectID: sub.ProjectID, Data: data,
	}.Event(now, s.APIVersion)
	return &ev, nil
}

// firstType returns the first type that a webhook subscribes to, by name or
// wildcard; empty if the catalogue lists none.
func firstType(catalogue *webhook.Catalogue, events []string) string {
	types := slices.Concat(catalogue.Types(), webhook.OperationalTypes())
	for _, pattern := range events {
		if _, known := catalogue.Lookup(pattern); known {
			return pattern
		}
		for _, t := range types {
			if filter.MatchesEvents([]string{pattern}, t.Type) {
				return t.Type
			}
		}
	}
	if listed := catalogue.Types(); len(listed) > 0 {
		return listed[0].Type
	}
	return ""
}

// testData judges the data of a test event as that of any other, and returns it
// canonical.
func testData(data json.RawMessage, preserve bool) (json.RawMessage, error) {
	if !json.Valid(data) {
		return nil, problem.New(problem.BadRequest, "The request is not JSON.",
			problem.Item{Code: problem.MalformedJSON, Pointer: "#/data", Detail: "This is not JSON."})
	}
	const head, tail = `{"data":`, `,"type":"api_key.created","project_id":"test"}`
	intake := webhook.Intake{Preserve: preserve}
	input, err := intake.One(slices.Concat([]byte(head), data, []byte(tail)))
	if err != nil {
		e := problem.From(err)
		for i := range e.Items {
			e.Items[i].Offset = nil // it would be that of another text
		}
		return nil, e
	}
	return input.Data, nil
}

// sendTest stores a test event with its delivery, sends it and records what
// came of it. Until then the delivery is a skipped one, so that nobody else
// sends it.
func (g *Gateway) sendTest(ctx context.Context, receiver *dispatch.Receiver, ev *webhook.Event) (DeliveryDetail, error) {
	webhookID := receiver.Subscription.ID
	_, err := g.store.Publish(ctx, []queue.Publication{{
		Event: ev, NewID: true, Test: true,
		Targets: []queue.Target{{WebhookID: webhookID, Status: webhook.Skipped, Reason: reasonTest}},
	}})
	if err != nil {
		return DeliveryDetail{}, refusal(err, noWebhook())
	}
	c, err := g.claimTest(ctx, webhookID, ev.ID, receiver.Timeout+testSlack)
	if err != nil {
		return DeliveryDetail{}, refusal(err, noWebhook())
	}
	if err := g.attemptTest(ctx, receiver, c); err != nil {
		return DeliveryDetail{}, err
	}
	d, stored, err := g.store.Delivery(ctx, c.Delivery.ID)
	if err != nil {
		return DeliveryDetail{}, refusal(err, noDelivery())
	}
	return g.detail(ctx, d, &stored)
}

// claimTest claims the delivery of a test event.
func (g *Gateway) claimTest(ctx context.Context, webhookID, eventID string, life time.Duration) (queue.Claimed, error) {
	page, err := g.store.Deliveries(ctx, queue.DeliveryQuery{WebhookID: webhookID, EventID: eventID, Limit: 1})
	if err != nil {
		return queue.Claimed{}, err
	}
	if len(page.Deliveries) == 0 {
		return queue.Claimed{}, fmt.Errorf("test event %s: its delivery: %w", eventID, queue.ErrNotFound)
	}
	now := g.now()
	return g.store.ClaimOne(ctx, page.Deliveries[0].ID, g.owner, now, now.Add(life))
}

// attemptTest makes the one attempt of a test delivery and records it.
func (g *Gateway) attemptTest(ctx context.Context, receiver *dispatch.Receiver, c queue.Claimed) error {
	sending, cancel := g.tests.context(ctx)
	defer cancel()
	a, verdict := g.sender.Send(sending, receiver, c.Event, &c.Delivery, 1, webhook.ByTest)
	result := queue.Result{Attempt: &a, Status: webhook.Failed}
	switch verdict.Decision {
	case dispatch.Delivered:
		result.Status = webhook.Delivered
	case dispatch.NotMade:
		result = queue.Result{Status: webhook.Failed, Reason: reasonNotSent, At: g.now()}
	}
	if err := g.store.Finish(context.WithoutCancel(ctx), c.Claim, result); err != nil {
		return refusal(err, noDelivery())
	}
	if verdict.Decision == dispatch.NotMade {
		g.log.Warn("the gateway could not send a test event",
			zap.String("webhook_id", c.Delivery.WebhookID), zap.String("outcome", string(a.Outcome)), zap.Error(verdict.Cause))
		return unavailable("The gateway itself could not send the test event. Send the request again.")
	}
	g.observer.Settled(dispatch.Report{
		Event: c.Event, Delivery: &c.Delivery, Attempt: &a, Status: result.Status,
		Latency: max(0, g.now().Sub(c.Event.ReceivedAt)),
	})
	return nil
}

// reasonNotSent is the reason of a test delivery that the gateway itself could
// not send.
const reasonNotSent = "not_sent"

// isTestEvent says whether an id is of the form that test events have.
func isTestEvent(id string) bool {
	return strings.HasPrefix(id, testEventPrefix) && len(id) == len(testEventPrefix)+26
}

// testSends limits the test events that are sent, and lets Close wait for those
// in flight. It outlives generations. The zero value is ready.
type testSends struct {
	mu       sync.Mutex
	stopped  bool
	inFlight sync.WaitGroup
	sending  int
	life     context.Context // of those in flight, see lifetime
	cut      context.CancelFunc
	recent   map[string]*recentTests
	sweepAt  int // size of recent at which old entries are removed
}

// recentTests holds when the last test events of a webhook were sent. Its times
// are monotonic: a clock that is set has no say.
type recentTests struct {
	at   [testsPerMinute]time.Time
	next int // the oldest
}

func (r *recentTests) newest() time.Time {
	return r.at[(r.next+testsPerMinute-1)%testsPerMinute]
}

// begin admits a test event and returns what to call when it is done.
func (ts *testSends) begin(webhookID string) (done func(), err error) {
	now := time.Now()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	switch {
	case ts.stopped:
		return nil, stoppingNow()
	case ts.sending >= maxTests:
		return nil, tooMany("Too many test events are under way. Send the request again.", time.Second)
	}
	r := ts.of(webhookID, now)
	if wait := r.at[r.next].Add(time.Minute).Sub(now); wait > 0 && !r.at[r.next].IsZero() {
		return nil, tooMany(fmt.Sprintf("A webhook gets at most %d test events a minute.", testsPerMinute), wait)
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % testsPerMinute
	ts.sending++
	ts.inFlight.Add(1)
	return func() {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		ts.sending--
		ts.inFlight.Done()
	}, nil
}

func tooMany(detail string, wait time.Duration) *problem.Error {
	e := problem.New(problem.TooManyRequests, detail)
	e.RetryAfter = wait
	return e
}

// of returns the memory of a webhook. Webhooks without a test in the last minute
// are forgotten whenever there are twice as many as after the last time.
func (ts *testSends) of(webhookID string, now time.Time) *recentTests {
	if ts.recent == nil {
		ts.recent = make(map[string]*recentTests)
	}
	if r := ts.recent[webhookID]; r != nil {
		return r
	}
	if len(ts.recent) >= max(ts.sweepAt, 256) {
		for id, r := range ts.recent {
			if now.Sub(r.newest()) >= time.Minute {
				delete(ts.recent, id)
			}
		}
		ts.sweepAt = 2 * len(ts.recent)
	}
	r := &recentTests{}
	ts.recent[webhookID] = r
	return r
}

// context returns a part of ctx that stop ends, too.
func (ts *testSends) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(ts.lifetime(), func() { cancel(errStopping) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// errStopping is why test events are cut short.
var errStopping = errors.New("the gateway is stopping")

// lifetime returns the context that ends when test events are cut short.
func (ts *testSends) lifetime() context.Context {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.life == nil {
		ts.life, ts.cut = context.WithCancel(context.Background())
	}
	return ts.life
}

// stop refuses further test events and waits for those in flight. When ctx ends
// first they are cut short.
func (ts *testSends) stop(ctx context.Context) {
	ts.lifetime()
	ts.mu.Lock()
	ts.stopped = true
	ts.mu.Unlock()
	defer ts.cut()
	defer context.AfterFunc(ctx, ts.cut)()
	ts.inFlight.Wait()
}
