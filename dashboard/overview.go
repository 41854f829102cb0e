package dashboard

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// overviewPage is the gateway at a glance.
type overviewPage struct {
	gateway.Overview
	Attempts    plot
	Latency     plot
	SuccessRate string
	Failed      int64  // deliveries that are kept as failed
	DueFor      string // how long the oldest due delivery has waited; empty: none is due
	SinceText   string
	Checks      []namedCheck
	Failing     []failingRow
}

type namedCheck struct {
	Name string
	gateway.HealthCheck
}

type failingRow struct {
	gateway.WebhookActivity
	Name string
}

func (v *visit) overview() error {
	o, err := v.gw.Overview(v.ctx(), v.by)
	if err != nil {
		return err
	}
	now := time.Now()
	page := overviewPage{
		Overview: o, Attempts: attemptsPlot(o.Minutes), Latency: latencyPlot(o.Minutes), SuccessRate: successRate(o.Minutes),
		Failed: o.Stats.Deliveries[webhook.Failed],
	}
	if due := o.Stats.OldestDue; !due.IsZero() && due.Before(now) {
		page.DueFor = ago(due, now)
	}
	if now.Sub(o.Since) < 24*time.Hour {
		page.SinceText = ago(o.Since, now)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Health.Checks)) {
		page.Checks = append(page.Checks, namedCheck{name, o.Health.Checks[name]})
	}
	for _, f := range o.Failing {
		name := f.WebhookID
		if w, err := v.gw.Webhook(v.ctx(), v.by, f.WebhookID); err == nil {
			name = nameOf(w)
		}
		page.Failing = append(page.Failing, failingRow{f, name})
	}
	return v.renderAt(place{section: "overview"}, http.StatusOK, "overview", "Overview", page)
}
