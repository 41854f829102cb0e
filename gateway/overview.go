package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
)

// Overview is the gateway at a glance, for those who operate it.
type Overview struct {
	Health  Health
	Stats   queue.Stats
	Pending int

	Minutes []Minute  // of the last day, oldest first; the last one is under way
	Since   time.Time // when counting began: when the process started

	Failing    []WebhookActivity // the webhooks whose last attempt failed, worst first
	AllFailing int               // how many there are; Failing has the first
}

const maxFailing = 20

// Overview returns the state of the whole gateway. It needs a key for all
// projects.
func (g *Gateway) Overview(_ context.Context, by *Key) (Overview, error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return Overview{}, err
	}
	if !by.ofAllProjects() {
		return Overview{}, problem.New(problem.NotFound, "The overview is for API keys of all projects.")
	}
	now := g.now()
	o := Overview{
		Health: g.Health(), Stats: g.Stats(), Pending: g.Pending(),
		Minutes: g.activity.lastDay(now), Since: g.activity.since,
	}
	o.Failing, o.AllFailing = g.activity.failing(now, maxFailing)
	return o, nil
}

// Activity returns what became of the latest attempts of a webhook.
func (g *Gateway) Activity(ctx context.Context, by *Key, webhookID string) (WebhookActivity, error) {
	if _, err := g.Webhook(ctx, by, webhookID); err != nil {
		return WebhookActivity{}, err
	}
	return g.activity.of(webhookID, g.now()), nil
}

// ProjectSummary is a project that has webhooks, or that a key is for.
type ProjectSummary struct {
	ID       string // webhook.AllProjects for webhooks that get the events of every project
	Webhooks int
}

// Projects lists the projects that a key can see by id: those it is for or,
// for a key of all projects, those that have webhooks.
func (g *Gateway) Projects(_ context.Context, by *Key, p Page) (list []ProjectSummary, next string, err error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return nil, "", err
	}
	after, err := p.after(listOfProjects)
	if err != nil {
		return nil, "", err
	}
	counts := g.webhooks.counts()
	var ids []string
	if !by.ofAllProjects() {
		ids = slices.Clone(by.Projects)
	} else {
		for id := range counts {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	at, found := slices.BinarySearch(ids, after)
	if found {
		at++
	}
	if ids = ids[at:]; len(ids) > p.Limit {
		ids = ids[:p.Limit]
		next = cursorAfter(listOfProjects, ids[p.Limit-1])
	}
	for _, id := range ids {
		list = append(list, ProjectSummary{ID: id, Webhooks: counts[id]})
	}
	return list, next, nil
}
