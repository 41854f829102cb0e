package gateway

import (
	"sync"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// receivers tells the dispatcher where deliveries go.
type receivers struct{ g *Gateway }

// Receiver implements dispatch.Receivers.
func (r receivers) Receiver(webhookID string) (*dispatch.Receiver, dispatch.State) {
	gen := r.g.current.Load()
	if gen == nil {
		return nil, dispatch.Held
	}
	sub := gen.webhook(webhookID)
	if sub == nil {
		return nil, r.g.absent(webhookID)
	}
	receiver, err := gen.receiver(sub)
	if err != nil {
		r.g.log.Error("webhook has no receiver; its deliveries are held", zap.String("webhook_id", webhookID), zap.Error(err))
		return nil, dispatch.Held
	}
	switch sub.State {
	case webhook.Paused:
		return receiver, dispatch.Held
	case webhook.Disabled:
		return receiver, dispatch.Disabled
	default:
		return receiver, dispatch.Active
	}
}

// absent says what to do for a webhook that the generation in force does not
// have.
func (g *Gateway) absent(webhookID string) dispatch.State {
	switch h := g.webhooks.get(webhookID); {
	case h != nil: // it left the configuration and may come back
		return dispatch.Parked
	case g.webhooks.unreadable(webhookID):
		return dispatch.Held
	}
	return dispatch.Unknown
}

// receiverFor returns the receiver of a webhook that is in force, or nil.
func (g *Gateway) receiverFor(webhookID string) *dispatch.Receiver {
	r, _ := receivers{g}.Receiver(webhookID)
	return r
}

// receiver returns everything that the attempts of a webhook need.
func (gen *Generation) receiver(sub *webhook.Subscription) (*dispatch.Receiver, error) {
	if r := gen.receivers.get(sub); r != nil {
		return r, nil
	}
	s := gen.settings
	r, err := dispatch.NewReceiver(sub, signer.New(sub.Secrets), s.Egress.Transport(sub.ProjectID, sub.ID), dispatch.Settings{
		Timeout:     s.Timeout,
		Schedule:    s.Retry,
		Concurrency: s.Concurrency,
		UserAgent:   s.UserAgent,
	})
	if err != nil {
		return nil, err
	}
	gen.receivers.put(r)
	return r, nil
}

// receiverCache keeps the receivers that were used last or nearly so. Making one
// takes some microseconds, keeping one a kilobyte or two. The zero cache is
// empty.
type receiverCache struct {
	mu   sync.RWMutex
	byID map[string]*dispatch.Receiver
}

const maxReceivers = 4096

// get returns the receiver of exactly this version of a webhook, or nil.
func (c *receiverCache) get(sub *webhook.Subscription) *dispatch.Receiver {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.byID[sub.ID]; r != nil && r.Subscription == sub {
		return r
	}
	return nil
}

func (c *receiverCache) put(r *dispatch.Receiver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = make(map[string]*dispatch.Receiver)
	}
	if len(c.byID) >= maxReceivers {
		for id := range c.byID { // any: the map's order is random
			delete(c.byID, id)
			break
		}
	}
	c.byID[r.Subscription.ID] = r
}

func (c *receiverCache) remove(webhookID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, webhookID)
}
