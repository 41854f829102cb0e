package gateway

import (
	"context"
	"errors"
	"slices"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Who may see what. Whether a key may do a sort of thing is a matter of its scopes,
// and a 403 if not. Which things it may do it to is a matter of its projects; what
// it may not see is not there for it, a 404.

// RequireScope returns the 403 to show to a client whose key lacks the scope;
// nil if it has it. Nobody (nil) has none: that is a 401.
func RequireScope(by *Key, s Scope) error {
	if by == nil {
		return unauthorized()
	}
	if by.Has(s) {
		return nil
	}
	return problem.New(problem.ScopeMissing, `Use an API key with the scope "`+string(s)+`".`)
}

// RequireProject returns the 404 to show to a client whose key is not for the
// project; nil if it is. A project is there as soon as somebody names it.
func RequireProject(by *Key, projectID string) error {
	if by.seesProject(projectID) {
		return nil
	}
	return noProject()
}

// admit is RequireScope, and returns the generation in force.
func (g *Gateway) admit(by *Key, s Scope) (*Generation, error) {
	if err := RequireScope(by, s); err != nil {
		return nil, err
	}
	return g.generation()
}

// Allows says whether the key is for the project.
func (k *Key) Allows(projectID string) bool {
	return k.ofAllProjects() || slices.Contains(k.Projects, projectID)
}

// ofAllProjects says whether the key is restricted to no project.
func (k *Key) ofAllProjects() bool { return len(k.Projects) == 0 }

// seesProject says whether there is a project for the key. webhook.AllProjects is
// none.
func (k *Key) seesProject(projectID string) bool {
	return webhook.ValidProjectID(projectID) && k.Allows(projectID)
}

// seesEvents says whether the key may see the events of a project. The test
// events of webhooks of all projects belong to webhook.AllProjects.
func (k *Key) seesEvents(projectID string) bool {
	return k.seesProject(projectID) || projectID == webhook.AllProjects && k.ofAllProjects()
}

// seesWebhook says whether the key may see a webhook. One that gets the events of
// all projects is for keys of all projects.
func (k *Key) seesWebhook(sub *webhook.Subscription) bool {
	if sub.ProjectID == webhook.AllProjects {
		return k.ofAllProjects()
	}
	return k.Allows(sub.ProjectID)
}

// webhookFor returns a webhook of the generation that a key may see, or the problem
// that there is no such webhook.
func (gen *Generation) webhookFor(by *Key, webhookID string) (*webhook.Subscription, error) {
	sub := gen.webhook(webhookID)
	if sub == nil || !by.seesWebhook(sub) {
		return nil, noWebhook()
	}
	return sub, nil
}

// webhookOrParkedFor is webhookFor, but finds also a static webhook that left the
// configuration, of which only project and state are known. While it is in the
// configuration, what that says counts: it may have given it another project.
func (gen *Generation) webhookOrParkedFor(by *Key, webhookID string) (*webhook.Subscription, error) {
	s := gen.webhooks.get(webhookID)
	if gen.webhook(webhookID) == nil && s != nil && by.seesWebhook(s.sub) {
		return s.sub, nil
	}
	return gen.webhookFor(by, webhookID)
}

// CheckHistory returns the problem that there is no webhook with this id for the
// key. One that left the configuration is not there any more, but its history is.
func (g *Gateway) CheckHistory(by *Key, webhookID string) error {
	gen, err := g.generation()
	if err != nil {
		return err
	}
	_, err = gen.webhookOrParkedFor(by, webhookID)
	return err
}

// seesDeliveriesOf says whether a key may see the deliveries of a webhook, as far as
// their projects are its own. Nobody knows any more whether a webhook that left
// the configuration for good was one of all projects; one of the API never is.
func (g *Gateway) seesDeliveriesOf(by *Key, webhookID string) bool {
	if by.ofAllProjects() {
		return true
	}
	if sub := g.inForce(webhookID); sub != nil {
		return by.seesWebhook(sub)
	}
	if s := g.webhooks.get(webhookID); s != nil {
		return by.seesWebhook(s.sub)
	}
	return generatedID(webhookID)
}

// deliveryFor returns a delivery and its event, if the key may see both its project
// and its webhook: one of all projects is no matter of each of them.
func (g *Gateway) deliveryFor(ctx context.Context, by *Key, id string) (webhook.Delivery, webhook.Event, error) {
	d, ev, err := g.store.Delivery(ctx, id)
	if err != nil {
		return d, ev, refusal(err, noDelivery())
	}
	if !by.Allows(d.ProjectID) || !g.seesDeliveriesOf(by, d.WebhookID) {
		return d, ev, noDelivery()
	}
	return d, ev, nil
}

// replayFor finds a replay that the key may see, running or not.
func (g *Gateway) replayFor(ctx context.Context, by *Key, id string) (*replayRun, error) {
	run := g.replays.get(id)
	if run == nil {
		rec, err := g.store.Record(ctx, queue.ReplayRecord, id)
		if err != nil {
			return nil, refusal(err, noReplay())
		}
		if run, err = readReplay(rec); err != nil {
			return nil, err
		}
	}
	if !by.Allows(run.ProjectID) {
		return nil, noReplay()
	}
	return run, nil
}

// eventFor finds an event that a key may see. Without a projectID there must be
// only one.
func (g *Gateway) eventFor(ctx context.Context, by *Key, id, projectID string) (webhook.Event, error) {
	var found []webhook.Event
	projects, err := g.projectsOf(ctx, by, id, projectID)
	for _, project := range projects {
		var ev webhook.Event
		switch ev, err = g.store.Event(ctx, project, id); {
		case err == nil:
			found = append(found, ev)
		case errors.Is(err, queue.ErrNotFound):
			err = nil
		default:
			return ev, refusal(err, noEvent())
		}
	}
	switch {
	case err != nil:
		return webhook.Event{}, refusal(err, noEvent())
	case len(found) == 0:
		return webhook.Event{}, noEvent()
	case len(found) > 1:
		return webhook.Event{}, conflict("Several projects have an event with this id. Say which one by project_id.")
	}
	return found[0], nil
}

// projectsOf returns the projects that may have the event which a key asks for.
func (g *Gateway) projectsOf(ctx context.Context, by *Key, id, projectID string) ([]string, error) {
	switch {
	case projectID != "" && !by.seesEvents(projectID):
		return nil, nil
	case projectID != "":
		return []string{projectID}, nil
	case !by.ofAllProjects():
		return slices.Compact(slices.Sorted(slices.Values(by.Projects))), nil
	}
	return g.store.EventProjects(ctx, id, 2)
}
