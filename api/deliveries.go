package api

import (
	"net/http"

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

func (b *testEvent) request() gateway.TestRequest {
	return gateway.TestRequest{Type: b.Type.Value, Data: []byte(b.Data.Value)}
}

func checkTest(c *call, b *testEvent) []problem.Item {
	return c.gw.CheckTest(c.by, c.path("id"), b.request())
}

func (a *API) registerDeliveries(h huma.API) {
	type detail struct{ Body wireDeliveryDetail }
	register(a, h, operation[testEvent]{
		id: "test-webhook", method: http.MethodPost, path: "/webhooks/{id}/test",
		summary: "Send a test event now",
		description: "One signed sample event, sent whatever the webhook's status, events and filters say, with the header x-tengine-test. " +
			"It is in the log, is never retried and does not count against the webhook. At most 10 a minute.",
		scope: gateway.ScopeManage, optional: true,
		exists: historyExists, check: checkTest, errors: []int{http.StatusConflict},
		request: map[string]any{"type": "project.created"},
	}, func(c *call, in *webhookPath, b *testEvent) (*detail, error) {
		d, err := c.gw.SendTest(c, c.by, in.ID, b.request())
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

// deliveryQuery says which deliveries of a webhook are listed.
type deliveryQuery struct {
	ID      string `path:"id" doc:"The webhook's id: wh_…."`
	Status  string `query:"status" enum:"pending,delivered,failed,skipped,cancelled,filter_error,corrupt" doc:"Only deliveries with this status."`
	Type    string `query:"type" minLength:"1" maxLength:"128" doc:"Only deliveries of events of this type."`
	EventID string `query:"event_id" minLength:"1" maxLength:"128" doc:"Only deliveries of this event."`
	Since   string `query:"since" format:"date-time" doc:"Only deliveries created at this time or later."`
	Until   string `query:"until" format:"date-time" doc:"Only deliveries created before this time."`
	Paging
}

func (q *deliveryQuery) filter() gateway.DeliveryFilter {
	f := gateway.DeliveryFilter{Status: webhook.Status(q.Status), EventType: q.Type, EventID: q.EventID}
	f.Since, _ = parseTime(q.Since)
	f.Until, _ = parseTime(q.Until)
	if q.Until != "" && f.Until.IsZero() {
		f.Until = f.Until.Add(1) // the year 1 is a time, too
	}
	return f
}

func pageOfDeliveries(c *call, p gateway.Page) error {
	v := c.r.URL.Query()
	q := deliveryQuery{
		Status: v.Get("status"), Type: v.Get("type"), EventID: v.Get("event_id"), Since: v.Get("since"), Until: v.Get("until"),
	}
	_, _, err := c.gw.Deliveries(c, c.by, c.path("id"), q.filter(), p)
	return err
}

func (a *API) registerDeliveryList(h huma.API) {
	type deliveries struct{ Body list[WireDelivery] }
	register(a, h, operation[noBody]{
		id: "list-deliveries", method: http.MethodGet, path: "/webhooks/{id}/deliveries",
		summary: "List the deliveries of a webhook", description: "Newest first. A part can have fewer items than asked for, also none, while next_cursor is set.",
		scope: gateway.ScopeRead, exists: historyExists, page: pageOfDeliveries,
	}, func(c *call, in *deliveryQuery, _ *noBody) (*deliveries, error) {
		found, next, err := c.gw.Deliveries(c, c.by, in.ID, in.filter(), in.page())
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
