package gateway

import (
	"fmt"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Health is whether the gateway does its work.
type Health struct {
	Status HealthStatus
	Checks map[string]HealthCheck // by name: "store", "disk", "delivery"
}

// HealthCheck is one part of Health. Detail is empty while Status is HealthOK.
type HealthCheck struct {
	Status HealthStatus `json:"status"`
	Detail string       `json:"detail,omitempty"`
}

// HealthStatus orders from good to bad.
type HealthStatus string

const (
	HealthOK          HealthStatus = "ok"
	HealthDegraded    HealthStatus = "degraded"    // events are taken, but something needs a look
	HealthUnavailable HealthStatus = "unavailable" // events are not taken
)

const (
	// lateAfter is how long deliveries may have been due, while all workers are
	// busy, before that is worth a look. Alone it says nothing: the webhook can
	// be paused, or its receiver down.
	lateAfter = 5 * time.Minute

	// healthFor is how long an answer of Health is given again: everybody may
	// ask.
	healthFor = time.Second
)

// healthCache keeps the last answer of Health.
type healthCache struct {
	mu   sync.Mutex
	at   time.Time // monotonic
	last Health
}

// Health says whether the gateway does its work. Everybody may know: it names no
// webhook and no project. It may be a second old.
func (g *Gateway) Health() Health {
	c := &g.health
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) >= healthFor || g.Closing() {
		c.last, c.at = g.checkHealth(), time.Now()
	}
	return c.last
}

func (g *Gateway) checkHealth() Health {
	h := Health{Status: HealthOK, Checks: map[string]HealthCheck{
		"store":    g.checkStore(),
		"disk":     g.checkDisk(),
		"delivery": g.checkDelivery(),
	}}
	for _, c := range h.Checks {
		switch {
		case c.Status == HealthUnavailable:
			h.Status = HealthUnavailable
		case c.Status == HealthDegraded && h.Status == HealthOK:
			h.Status = HealthDegraded
		}
	}
	return h
}

func degraded(detail string) HealthCheck { return HealthCheck{HealthDegraded, detail} }

// checkStore says whether events can be stored.
func (g *Gateway) checkStore() HealthCheck {
	stats := g.store.Stats()
	switch {
	case g.Closing():
		return HealthCheck{HealthUnavailable, "the gateway is stopping"}
	case g.current.Load() == nil:
		return HealthCheck{HealthUnavailable, "the gateway is starting"}
	case stats.Err != nil:
		return HealthCheck{HealthUnavailable, "the store has failed; the log says why"}
	case stats.Lost > 0:
		return degraded(fmt.Sprintf("%d commits were missing when the store was opened", stats.Lost))
	case stats.Damaged > 0:
		return degraded(fmt.Sprintf("%d records are damaged on disk", stats.Damaged))
	case stats.Deliveries[webhook.Corrupt] > 0:
		return degraded(fmt.Sprintf("%d deliveries are damaged", stats.Deliveries[webhook.Corrupt]))
	}
	return HealthCheck{Status: HealthOK}
}

func (g *Gateway) checkDisk() HealthCheck {
	if g.store.Stats().Full {
		return HealthCheck{HealthUnavailable, "the disk is nearly full: no events are taken"}
	}
	return HealthCheck{Status: HealthOK}
}

// checkDelivery says whether events go out.
func (g *Gateway) checkDelivery() HealthCheck {
	gen := g.current.Load()
	switch due := g.store.Stats().OldestDue; {
	case gen == nil:
		return HealthCheck{Status: HealthOK} // nothing is to go out yet
	case g.dispatcher.Err() != nil:
		return degraded("nothing is sent until a restart; the log says why")
	case g.store.Backlog("") >= gen.settings.MaxPending:
		return degraded("as many deliveries are pending as may be (max_pending): new events are refused")
	case g.dispatcher.InFlight() >= gen.settings.Workers && !due.IsZero() && g.now().Sub(due) > lateAfter:
		return degraded("all workers are busy and deliveries are late")
	}
	return HealthCheck{Status: HealthOK}
}
