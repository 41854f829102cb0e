package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

const (
	// testEventPrefix begins the ids of test events.
	testEventPrefix = "evt_test_"

	// testSlack is how long a test may take beside its receiver's timeout: the
	// response body, and writing down what came of it.
	testSlack = 30 * time.Second
)

// TestRequest asks for a test event. Zero fields: the first type that the
// webhook subscribes to by name or wildcard, and that type's sample.
type TestRequest struct {
	Type string
	Data json.RawMessage
}

// SendTest sends a test event to a webhook now and returns what came of it: a
// sample of its type, or the data that was asked for. Whatever the webhook's
// status, events and filters say, it is sent, by the same guard and signer as
// any other. It is in the log of deliveries, is never retried, and does not
// count for or against the webhook. When ctx ends the attempt goes on.
func (g *Gateway) SendTest(ctx context.Context, by *Key, webhookID string, r TestRequest) (DeliveryDetail, error) {
	gen, err := g.admit(by, ScopeManage)
	if err != nil {
		return DeliveryDetail{}, err
	}
	if _, err := gen.webhookOrParkedFor(by, webhookID); err != nil {
		return DeliveryDetail{}, err
	}
	sub := gen.webhook(webhookID)
	if sub == nil {
		return DeliveryDetail{}, conflict("The webhook is missing from the configuration; nothing can be sent to it until it returns.")
	}
	receiver, err := gen.receiver(sub)
	if err != nil {
		return DeliveryDetail{}, fmt.Errorf("test webhook %s: %w", webhookID, err)
	}
	ev, err := gen.testEvent(sub, r, g.now())
	if err != nil {
		return DeliveryDetail{}, err
	}
	send, err := g.tests.begin(webhookID, sub.ProjectID)
	if err != nil {
		return DeliveryDetail{}, err
	}
	defer g.tests.end(send)
	if gen.webhook(webhookID) == nil { // deleted before it could know of this test
		return DeliveryDetail{}, noWebhook()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiver.Timeout+testSlack)
	defer cancel()
	return g.sendTest(ctx, send, receiver, ev)
}

// CheckTest returns what SendTest would find wrong with a request.
func (g *Gateway) CheckTest(by *Key, webhookID string, r TestRequest) []problem.Item {
	gen, err := g.generation()
	if err != nil {
		return nil
	}
	sub, err := gen.webhookFor(by, webhookID)
	if err != nil {
		return nil
	}
	_, err = gen.testEvent(sub, r, g.now())
	return itemsOf(err)
}

// testEvent makes a test event for a webhook.
func (gen *Generation) testEvent(sub *webhook.Subscription, r TestRequest, now time.Time) (*webhook.Event, error) {
	s := gen.settings
	name := r.Type
	if name == "" {
		name = firstType(s.Catalogue, sub.Events)
	}
	var items []problem.Item
	kind, ok := s.Catalogue.Lookup(name)
	if !ok {
		items = append(items, problem.Item{Code: problem.UnknownType, Pointer: "#/type", Detail: "Name an event type of the catalogue."})
	}
	data := kind.Sample
	if len(r.Data) > 0 {
		var err error
		data, err = testData(r.Data, s.PreserveUnsafe)
		if wrong := itemsOf(err); wrong != nil {
			items = append(items, wrong...)
		} else if err != nil {
			return nil, err
		}
	}
	if len(items) > 0 {
		return nil, problem.New(problem.Invalid, "The test event breaks a rule.", items...)
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
func (g *Gateway) sendTest(ctx context.Context, send *testSend, receiver *dispatch.Receiver, ev *webhook.Event) (DeliveryDetail, error) {
	webhookID := receiver.Subscription.ID
	_, err := g.store.Publish(ctx, []queue.Publication{{
		Event: ev, NewID: true, Test: true,
		Targets: []queue.Target{{WebhookID: webhookID, Status: webhook.Skipped, Reason: webhook.ReasonTest}},
	}})
	if err != nil {
		return DeliveryDetail{}, refusal(err, noWebhook())
	}
	c, err := g.claimTest(ctx, webhookID, ev.ID, receiver.Timeout+testSlack)
	if err != nil {
		return DeliveryDetail{}, refusal(err, noWebhook())
	}
	if err := g.attemptTest(ctx, send, receiver, c); err != nil {
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
func (g *Gateway) attemptTest(ctx context.Context, send *testSend, receiver *dispatch.Receiver, c queue.Claimed) error {
	a, verdict := g.sender.Send(send.ctx, receiver, c.Event, &c.Delivery, 1, webhook.ByTest)
	result := queue.Result{Attempt: &a, Status: webhook.Failed}
	switch verdict.Decision {
	case dispatch.Delivered:
		result.Status = webhook.Delivered
	case dispatch.Retry, dispatch.Gone: // failed, and nothing follows from it
	case dispatch.NotMade:
		result = queue.Result{Status: webhook.Failed, Reason: webhook.ReasonNotSent, At: g.now()}
	}
	if err := g.store.Finish(context.WithoutCancel(ctx), c.Claim, result); err != nil {
		return refusal(err, noDelivery())
	}
	switch {
	case send.ctx.Err() != nil && verdict.Decision == dispatch.NotMade:
		return unavailable("The test event was cut short: the gateway is stopping, or the webhook was deleted.")
	case verdict.Decision == dispatch.NotMade:
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

// isTestEvent says whether an id is of the form that test events have.
func isTestEvent(id string) bool {
	return strings.HasPrefix(id, testEventPrefix) && len(id) == len(testEventPrefix)+26
}
