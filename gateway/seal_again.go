package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// resealing is the work of sealing all records with another key, one at a time.
type resealing struct {
	loop
	target *sealKey // what all records are to be sealed with

	// one is held by the round under way: that of a loop that was cancelled can go
	// on for a while.
	one sync.Mutex
}

const (
	resealPage    = 512
	resealWriters = 32 // so that the store can commit many records at once
	resealPause   = 10 * time.Second
)

// sealWith makes k the key of all records, in the background: what is sealed
// with another key is sealed anew, what is left when the process ends after the next
// start. The caller holds mu.
func (g *Gateway) sealWith(k *sealKey) {
	if k == nil || g.resealing.target == k || g.resealing.target != nil && g.resealing.target.id == k.id {
		return
	}
	r := &g.resealing
	r.cancel()
	r.target = k
	r.start(g.log, "sealing secrets anew", 0, func(ctx context.Context) time.Duration {
		r.one.Lock()
		defer r.one.Unlock()
		if ctx.Err() != nil {
			return loopEnds
		}
		err := g.reseal(ctx, k)
		if err == nil || ctx.Err() != nil || errors.Is(err, queue.ErrClosed) {
			return loopEnds
		}
		g.log.Error("secrets could not all be sealed anew; it is tried again", zap.Error(err), zap.Duration("in", resealPause))
		return resealPause
	})
}

// reseal seals all records with k. Until it has ended the canary lists the other
// keys too, so that a start without them is refused.
func (g *Gateway) reseal(ctx context.Context, k *sealKey) error {
	can, err := g.readCanary(ctx)
	if err != nil {
		return err
	}
	if len(can.Sealed) == 1 {
		if id, ok := sealedWith(can.Sealed[0]); ok && id == k.id {
			g.vault.use(k)
			return nil // all was done before
		}
	}
	if err := g.writeCanary(ctx, can, k); err != nil {
		return err
	}
	g.vault.use(k)
	g.locks.pass() // what was sealed with another key just now is in the store
	g.log.Info("the secrets key has changed: sealing all secrets anew", zap.Stringer("key_id", k.id))
	n, err := g.resealAll(ctx, k)
	if err != nil {
		return err
	}
	can, err = g.readCanary(ctx)
	if err != nil {
		return err
	}
	can.Sealed = nil
	if err := g.writeCanary(ctx, can, k); err != nil {
		return err
	}
	g.log.Info("all secrets are sealed with the new key: the previous one is not needed any more",
		zap.Stringer("key_id", k.id), zap.Int64("records", n))
	return nil
}

// resealAll seals every record with k that is sealed with another key.
func (g *Gateway) resealAll(ctx context.Context, k *sealKey) (int64, error) {
	var n atomic.Int64
	for cursor := ""; ; {
		page, err := g.store.Records(ctx, queue.WebhookRecord, "", cursor, resealPage)
		if err != nil {
			return 0, err
		}
		var (
			writers sync.WaitGroup
			errs    = make([]error, resealWriters)
		)
		for w := range resealWriters {
			writers.Go(func() {
				defer func() {
					if r := recover(); r != nil {
						errs[w] = fmt.Errorf("panic: %v", r)
					}
				}()
				for i := w; i < len(page.Records) && errs[w] == nil && ctx.Err() == nil; i += resealWriters {
					id, sealed := sealedWith(page.Records[i].Data)
					if !sealed || id == k.id {
						continue
					}
					n.Add(1)
					errs[w] = g.resealRecord(ctx, page.Records[i].ID)
				}
			})
		}
		writers.Wait()
		if err := errors.Join(append(errs, ctx.Err())...); err != nil {
			return 0, err
		}
		if page.Next == "" {
			return n.Load(), nil
		}
		cursor = page.Next
	}
}

// resealRecord seals one record anew, whatever has become of it meanwhile. One
// that cannot be opened stays as it is: nobody could read it with any key.
func (g *Gateway) resealRecord(ctx context.Context, webhookID string) error {
	defer g.locks.lock(webhookID)()
	rec, err := g.store.Record(ctx, queue.WebhookRecord, webhookID)
	switch {
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrCorrupt):
		return nil
	case err != nil:
		return err
	}
	if rec.Data, err = g.vault.open(&rec); err != nil {
		g.log.Error("a webhook's record cannot be opened", zap.String("webhook_id", webhookID), zap.Error(err))
		return nil
	}
	sealed, err := g.vault.seal(rec)
	if err != nil {
		return err
	}
	version, err := g.store.PutRecord(context.WithoutCancel(ctx), sealed) // as in save
	if err != nil {
		return err
	}
	if h := g.webhooks.get(webhookID); h != nil {
		again := *h
		again.version = version
		g.webhooks.put(&again)
	}
	return nil
}
