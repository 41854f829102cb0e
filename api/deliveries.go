package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

type deliveryPath struct {
	ID string `path:"id" doc:"The delivery's id: dlv_…."`
}

// testEvent is the body of a test.
type testEvent struct {
	Type member[string] `json:"type" required:"false" nullable:"true" doc:"An event type; by default the first that the webhook subscribes to." example:"project.created"`
	Data member[object] `json:"data" required:"false" nullable:"true" doc:"The event's data; by default the type's sample."`
}

func (a *API) registerDeliveries(h huma.API) {
	type detail struct{ Body wireDeliveryDetail }
	register(a, h, operation[testEvent]{
		id: "test-webhook", method: http.MethodPost, path: "/webhooks/{id}/test",
		summary: "Send a test event now",
		description: "One signed sample event, sent whatever the webhook's status, events and filters say, with the header x-tengine-test. " +
			"It is in the log, is never retried and does not count against the webhook. At most 10 a minute.",
		scope: gateway.ScopeManage, optional: true,
		exists:  webhookExists,
		request: map[string]any{"type": "project.created"},
	}, func(c *call, in *webhookPath, b *testEvent) (*detail, error) {
		d, err := c.gw.SendTest(c, c.by, in.ID, gateway.TestRequest{Type: b.Type.Value, Data: []byte(b.Data.Value)})
		if err != nil {
			return nil, err
		}
		return &detail{newWireDeliveryDetail(&d)}, nil
	})

	a.registerDeliveryList(h)

	register(a, h, operation[noBody]{
		id: "get-delivery", method: http.MethodGet, path: "/deliveries/{id}",
		summary: "Read a delivery in full", description: "With the exact payload, the headers of the request, and every attempt.",
		scope: gateway.ScopeRead, exists: deliveryExists,
	}, func(c *call, in *deliveryPath, _ *noBody) (*detail, error) {
		d, err := c.gw.Delivery(c, c.by, in.ID)
		if err != nil {
			return nil, err
		}
		return &detail{newWireDeliveryDetail(&d)}, nil
	})

	type delivery struct{ Body WireDelivery }
	register(a, h, operation[noBody]{
		id: "retry-delivery", method: http.MethodPost, path: "/deliveries/{id}/retry",
		summary: "Make one attempt of a delivery now",
		description: "The attempt has the next number and uses up no step of the schedule: if it fails, status and next time stand as before. " +
			"For deliveries that are pending, failed, delivered, skipped or filter_error.",
		scope: gateway.ScopeManage, status: http.StatusAccepted, errors: []int{http.StatusConflict},
		exists: deliveryExists,
	}, func(c *call, in *deliveryPath, _ *noBody) (*delivery, error) {
		d, err := c.gw.Retry(c, c.by, in.ID)
		if err != nil {
			return nil, err
		}
		return &delivery{newWireDelivery(&d)}, nil
	})
}

func (a *API) registerDeliveryList(h huma.API) {
	type query struct {
		ID      string    `path:"id" doc:"The webhook's id: wh_…."`
		Status  string    `query:"status" enum:"pending,delivered,failed,skipped,cancelled,filter_error,corrupt" doc:"Only deliveries with this status."`
		Type    string    `query:"type" maxLength:"128" doc:"Only deliveries of events of this type."`
		EventID string    `query:"event_id" maxLength:"128" doc:"Only deliveries of this event."`
		Since   time.Time `query:"since" doc:"Only deliveries created at this time or later."`
		Until   time.Time `query:"until" doc:"Only deliveries created before this time."`
		Paging
	}
	type deliveries struct{ Body list[WireDelivery] }
	register(a, h, operation[noBody]{
		id: "list-deliveries", method: http.MethodGet, path: "/webhooks/{id}/deliveries",
		summary: "List the deliveries of a webhook", description: "Newest first. A part can have fewer items than asked for, also none, while next_cursor is set.",
		scope: gateway.ScopeRead, exists: webhookExists,
	}, func(c *call, in *query, _ *noBody) (*deliveries, error) {
		f := gateway.DeliveryFilter{
			Status: webhook.Status(in.Status), EventType: in.Type, EventID: in.EventID, Since: in.Since, Until: in.Until,
		}
		if f.Until.IsZero() && c.r.URL.Query().Has("until") {
			f.Until = f.Until.Add(1) // the year 1 is a time, too
		}
		found, next, err := c.gw.Deliveries(c, c.by, in.ID, f, in.page())
		if err != nil {
			return nil, err
		}
		data := make([]WireDelivery, len(found))
		for i := range found {
			data[i] = newWireDelivery(&found[i])
		}
		return &deliveries{newList(data, next)}, nil
	})
}

func deliveryExists(c *call) error { return onlyMissing(c.gw.Delivery(c, c.asReader(), c.path("id"))) }

// onlyMissing returns the error of a lookup if it says that nothing is there.
// Another one is no reason to tell something else than what is wrong with the
// request.
func onlyMissing[T any](_ T, err error) error {
	if err != nil && problem.From(err).Code == problem.NotFound {
		return err
	}
	return nil
}
