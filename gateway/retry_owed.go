package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// A retry by hand that was promised is a record of the store until its outcome is
// recorded, because the delivery itself is to stand as it stood: its status and
// its due time cannot tell of it.

// owedRetry is what the record says beside the delivery's id.
type owedRetry struct {
	Attempts int `json:"attempts"` // of the delivery then: with more of them it has been made
}

// oweRetry notes that a delivery, which the caller has claimed, is owed an attempt.
// It does not heed the end of ctx: what was written all the same would come as a
// surprise at the next start.
func (g *Gateway) oweRetry(ctx context.Context, d *webhook.Delivery) error {
	defer g.owing.lock(d.ID)()
	ctx = context.WithoutCancel(ctx)
	data, err := json.Marshal(owedRetry{Attempts: d.Attempts})
	if err != nil {
		return fmt.Errorf("encode retry: %w", err)
	}
	rec := queue.Record{Kind: queue.RetryRecord, ID: d.ID, ProjectID: d.ProjectID, Data: data}
	_, err = g.store.PutRecord(ctx, rec)
	if !errors.Is(err, queue.ErrVersion) {
		return err
	}
	// One from before is there still, or could not be removed. This one takes its
	// place.
	if err := g.store.DeleteRecord(ctx, queue.RetryRecord, d.ID); err != nil {
		return err
	}
	_, err = g.store.PutRecord(ctx, rec)
	return err
}

// settleRetry notes that the retry of a delivery that was owed after so many
// attempts is owed no more. One that was promised meanwhile stays.
func (g *Gateway) settleRetry(deliveryID string, attempts int) {
	defer g.owing.lock(deliveryID)()
	rec, err := g.store.Record(context.Background(), queue.RetryRecord, deliveryID)
	var owed owedRetry
	if err == nil && json.Unmarshal(rec.Data, &owed) == nil && owed.Attempts != attempts {
		return
	}
	if err == nil || errors.Is(err, queue.ErrCorrupt) {
		err = g.store.DeleteRecord(context.Background(), queue.RetryRecord, deliveryID)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		g.log.Warn("a retry by hand could not be noted as made", zap.String("delivery_id", deliveryID), zap.Error(err))
	}
}

// makeRetry has the attempt made that is owed. One that a stop cuts short, or
// prevents, stays owed; any other that leaves no trace was prevented by a fault
// that the log has, or by the end of its webhook.
func (g *Gateway) makeRetry(c queue.Claimed) error {
	return g.dispatcher.Once(c, webhook.Manually, func(recorded bool) {
		if recorded || !g.Closing() {
			g.settleRetry(c.Delivery.ID, c.Delivery.Attempts)
		}
	})
}

// claimOwedRetries claims the deliveries that a process before this one owed an
// attempt. Call it before the dispatcher starts, so that none is taken meanwhile.
func (g *Gateway) claimOwedRetries(ctx context.Context) (owed []queue.Claimed, err error) {
	err = eachRecord(ctx, g.store, queue.RetryRecord, func(rec *queue.Record) error {
		var r owedRetry
		if json.Unmarshal(rec.Data, &r) != nil {
			g.settleRetry(rec.ID, 0)
			return nil //nolint:nilerr // nobody can tell whether it was made
		}
		now := g.now()
		c, err := g.store.ClaimOne(ctx, rec.ID, g.owner, now, now.Add(dispatch.OnceClaim))
		switch {
		case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrCorrupt):
			g.settleRetry(rec.ID, r.Attempts)
		case err != nil:
			g.log.Warn("a retry by hand stays owed", zap.String("delivery_id", rec.ID), zap.Error(err))
		case c.Delivery.Attempts > r.Attempts, mayRetry(&c.Delivery) != nil:
			g.settleRetry(rec.ID, r.Attempts)
			return g.giveBack(ctx, c)
		default:
			owed = append(owed, c)
		}
		return nil
	}, func(id string) { g.settleRetry(id, 0) })
	return owed, err
}

// makeOwedRetries has the attempts made that claimOwedRetries found.
func (g *Gateway) makeOwedRetries(ctx context.Context, owed []queue.Claimed) {
	for _, c := range owed {
		err := g.makeRetry(c)
		if err == nil {
			continue
		}
		g.log.Warn("a retry by hand could not be made", zap.String("delivery_id", c.Delivery.ID), zap.Error(err))
		if errors.Is(err, dispatch.ErrNoReceiver) {
			g.settleRetry(c.Delivery.ID, c.Delivery.Attempts)
		}
		if err := g.giveBack(ctx, c); err != nil {
			g.log.Warn("a claim could not be released", zap.String("delivery_id", c.Delivery.ID), zap.Error(err))
		}
	}
}
