package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// A static webhook that has left the configuration is parked: its deliveries
// wait for its return. After the retention it is forgotten and they end as
// cancelled (contract section 3).

// tidyParked notes which static webhooks have left the configuration, come back or
// have another project there, and forgets those that left before the cutoff.
func (g *Gateway) tidyParked(ctx context.Context, cutoff time.Time) {
	for _, h := range g.webhooks.static() {
		if ctx.Err() != nil {
			return
		}
		err := g.park(ctx, h.sub.ID, cutoff)
		if err != nil && !errors.Is(err, queue.ErrClosed) {
			g.log.Error("a webhook that left the configuration could not be dealt with",
				zap.String("webhook_id", h.sub.ID), zap.Error(err))
		}
	}
}

// park brings the record of one static webhook up to date.
func (g *Gateway) park(ctx context.Context, webhookID string, cutoff time.Time) error {
	defer g.locks.lock(webhookID)()
	h := g.webhooks.get(webhookID)
	if h == nil || !h.sub.Static {
		return nil
	}
	now := g.now().UTC()
	switch present := g.configured(webhookID); {
	case present && h.parkedAt.IsZero():
		return g.followProject(ctx, h)
	case present:
		return g.setParked(ctx, h, time.Time{})
	case h.parkedAt.IsZero(), now.Before(h.parkedAt): // or the clock was wrong
		return g.setParked(ctx, h, now)
	case h.parkedAt.Before(cutoff):
		return g.forgetParked(ctx, webhookID)
	default:
		return nil
	}
}

// configured says whether a generation has a static webhook.
func (g *Gateway) configured(webhookID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.configuredLocked(webhookID)
}

func (g *Gateway) configuredLocked(webhookID string) bool {
	return slices.ContainsFunc(g.generations, func(gen *Generation) bool { return gen.webhook(webhookID) != nil })
}

func (g *Gateway) setParked(ctx context.Context, h *stored, at time.Time) error {
	parked := *h
	parked.parkedAt = at
	saved, err := g.save(ctx, &parked)
	if err != nil {
		return err
	}
	g.webhooks.put(saved)
	return nil
}

// followProject keeps the project that the configuration gives a webhook, for the
// time when it has left.
func (g *Gateway) followProject(ctx context.Context, h *stored) error {
	now := g.inForce(h.sub.ID)
	if now == nil || now.ProjectID == h.sub.ProjectID {
		return nil
	}
	moved, sub := *h, *h.sub
	sub.ProjectID = now.ProjectID
	moved.sub = &sub
	saved, err := g.save(ctx, &moved)
	if err != nil {
		return err
	}
	g.webhooks.put(saved)
	return nil
}

// forgetParked removes a webhook that has been parked for too long, unless it
// has come back. Its deliveries end as of one that was deleted.
func (g *Gateway) forgetParked(ctx context.Context, webhookID string) error {
	g.mu.Lock()
	defer g.mu.Unlock() // so that no Apply finds it half gone
	if g.configuredLocked(webhookID) {
		return nil
	}
	if err := g.store.DeleteRecord(ctx, queue.WebhookRecord, webhookID); err != nil {
		return err
	}
	g.webhooks.remove(webhookID)
	g.dispatcher.Refresh(webhookID)
	g.forgetWebhook(webhookID)
	g.log.Info("webhook left the configuration longer ago than the retention; its deliveries are cancelled",
		zap.String("webhook_id", webhookID))
	return nil
}
