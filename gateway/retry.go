package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// retryable are the statuses of deliveries that can be retried by hand.
var retryable = []webhook.Status{webhook.Pending, webhook.Failed, webhook.Delivered, webhook.Skipped, webhook.FilterError}

// Retry makes one attempt of a delivery now, with the next number and the
// webhook's present settings, also while the webhook is paused or disabled: it
// was asked for. The attempt uses up no step of the schedule. If it fails the
// delivery stays as it is. Retry returns the delivery as it was before, without
// waiting for the attempt; if the process ends before it is made and recorded, the
// next one makes it.
//
// It is a Conflict if an attempt is under way, the status does not allow it,
// the delivery is of a test event, or the webhook is gone.
func (g *Gateway) Retry(ctx context.Context, by *Key, deliveryID string) (webhook.Delivery, error) {
	if err := RequireScope(by, ScopeManage); err != nil {
		return webhook.Delivery{}, err
	}
	d, _, err := g.deliveryFor(ctx, by, deliveryID)
	if err != nil {
		return webhook.Delivery{}, err
	}
	if g.Closing() {
		return webhook.Delivery{}, stopping()
	}
	if g.webhooks.get(d.WebhookID) == nil {
		return webhook.Delivery{}, conflict("The webhook of this delivery was deleted.")
	}
	if err := mayRetry(&d); err != nil {
		return webhook.Delivery{}, err
	}
	now := g.now()
	c, err := g.store.ClaimOne(ctx, deliveryID, g.owner, now, now.Add(dispatch.OnceClaim))
	switch {
	case errors.Is(err, queue.ErrClaimed):
		return webhook.Delivery{}, conflict("An attempt of this delivery is under way. Look at what comes of it first.")
	case err != nil:
		return webhook.Delivery{}, refusal(err, noDelivery())
	}
	if err := g.retryClaimed(ctx, c); err != nil {
		if e := g.giveBack(ctx, c); e != nil {
			g.log.Warn("a claim could not be released", zap.String("delivery_id", deliveryID), zap.Error(e))
		}
		return webhook.Delivery{}, err
	}
	last := d.LastAttempt
	if d.Attempts != c.Delivery.Attempts {
		last = nil // somebody made another attempt in between
	}
	d = c.Delivery
	d.LastAttempt = last
	return d, nil
}

// mayRetry returns why a delivery cannot be retried.
func mayRetry(d *webhook.Delivery) error {
	switch {
	case d.Test:
		return conflict("A test event is never retried. Send another one.")
	case !slices.Contains(retryable, d.Status):
		return conflict("A delivery that is " + string(d.Status) + " cannot be retried.")
	}
	return nil
}

// retryClaimed notes that a claimed delivery is owed an attempt and hands it to the
// dispatcher. On an error the claim stays the caller's, and nothing is owed.
func (g *Gateway) retryClaimed(ctx context.Context, c queue.Claimed) error {
	if err := mayRetry(&c.Delivery); err != nil { // it has changed since it was looked at
		return err
	}
	if err := g.oweRetry(ctx, &c.Delivery); err != nil {
		return refusal(fmt.Errorf("retry delivery %s: %w", c.Delivery.ID, err), noDelivery())
	}
	err := g.makeRetry(c)
	if err != nil {
		g.settleRetry(c.Delivery.ID, c.Delivery.Attempts)
	}
	switch {
	case errors.Is(err, dispatch.ErrBusy):
		return problem.Later(problem.TooManyRequests, "Too many attempts by hand are under way. Send the request again.", time.Second)
	case errors.Is(err, dispatch.ErrNoReceiver):
		return conflict("The webhook of this delivery is not in force: it was deleted, is missing from the configuration, or belongs to another project now.")
	case err != nil:
		g.log.Warn("a delivery could not be retried", zap.String("delivery_id", c.Delivery.ID), zap.Error(err))
		return unavailable("The gateway sends nothing at present. Send the request again.")
	}
	return nil
}
