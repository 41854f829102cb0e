package gateway

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// pageTime is how long a page is filled by a filter that matches little. It is
// then returned short.
const pageTime = 500 * time.Millisecond

// DeliveryFilter selects deliveries. Zero fields do not restrict.
type DeliveryFilter struct {
	Status       webhook.Status
	EventType    string
	EventID      string
	Since, Until time.Time // created in [Since, Until)
}

// DeliveryDetail is a delivery with everything that is known of it. Secrets in
// headers are Masked.
type DeliveryDetail struct {
	webhook.Delivery
	Payload        []byte // the exact body
	RequestHeaders []webhook.Header
	AttemptLog     []webhook.Attempt // oldest first
}

// Deliveries lists the deliveries of a webhook, newest first, test events
// included. next is empty on the last page; while it is not, a page can be
// short, even empty, if the filter matches little.
func (g *Gateway) Deliveries(
	ctx context.Context, by *Key, webhookID string, f DeliveryFilter, p Page,
) (list []webhook.Delivery, next string, err error) {
	gen, err := g.admit(by, ScopeRead)
	if err != nil {
		return nil, "", err
	}
	if _, err := gen.webhookOrParkedFor(by, webhookID); err != nil {
		return nil, "", err
	}
	if err := checkLimit(p); err != nil {
		return nil, "", err
	}
	if f.Status != "" && !slices.Contains(webhook.Statuses, f.Status) {
		return nil, "", badParameter("status", "There is no such status.")
	}
	q := queue.DeliveryQuery{
		WebhookID: webhookID, Status: f.Status, EventType: f.EventType, EventID: f.EventID,
		Since: f.Since, Until: f.Until, Cursor: p.Cursor, Limit: p.Limit,
	}
	for began := time.Now(); ; {
		page, err := g.store.Deliveries(ctx, q)
		if err != nil {
			return nil, "", refusal(err, noWebhook())
		}
		for _, d := range page.Deliveries {
			if by.Allows(d.ProjectID) { // else the configuration gave the webhook another project since
				list = append(list, d)
			}
		}
		q.Cursor, q.Limit = page.Next, p.Limit-len(list)
		if page.Next == "" || q.Limit == 0 || time.Since(began) > pageTime {
			return list, page.Next, nil
		}
	}
}

// Delivery returns a delivery in full. Also one whose webhook was deleted can be
// read, until it is as old as the retention.
func (g *Gateway) Delivery(ctx context.Context, by *Key, id string) (DeliveryDetail, error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return DeliveryDetail{}, err
	}
	d, ev, err := g.deliveryFor(ctx, by, id)
	if err != nil {
		return DeliveryDetail{}, err
	}
	return g.detail(ctx, d, &ev)
}

// detail adds to a delivery what is known of it.
func (g *Gateway) detail(ctx context.Context, d webhook.Delivery, ev *webhook.Event) (DeliveryDetail, error) {
	attempts, err := g.store.Attempts(ctx, d.ID)
	if err != nil {
		return DeliveryDetail{}, refusal(err, noDelivery())
	}
	return DeliveryDetail{
		Delivery:       d,
		Payload:        ev.Body,
		RequestHeaders: g.requestHeaders(&d, ev),
		AttemptLog:     attempts,
	}, nil
}

// requestHeaders returns the headers of a delivery's last attempt or, before
// the first, those that it will have. What the webhook decides about them is
// taken from its present settings; what is unknown is left out.
func (g *Gateway) requestHeaders(d *webhook.Delivery, ev *webhook.Event) []webhook.Header {
	receiver := g.receiverFor(d.WebhookID)
	if receiver == nil {
		receiver = &dispatch.Receiver{Subscription: &webhook.Subscription{}, Signer: signer.New(nil)}
	}
	number, trigger, at := 1, webhook.BySchedule, time.Time{}
	if last := d.LastAttempt; last != nil {
		number, trigger, at = last.Number, last.Trigger, last.StartedAt
	}
	return receiver.ShownHeaders(ev, d, cmp.Or(number, 1), trigger, at)
}
