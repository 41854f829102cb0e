package gateway

import (
	"context"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Published is what became of one event of a Publish.
type Published struct {
	ID         string // the event's id, also when it was refused
	Result     Result
	Deliveries int // how many will be sent; those of the first publication for a duplicate

	// Err is why the event was refused; nil unless Result is Rejected.
	Err *problem.Error
}

// Publish takes events: it stores them with all their deliveries and returns
// when everything is on stable storage. Each event is taken whole or not at
// all; the results are in the order of inputs (contract section 2).
//
// An error is for the whole call and means that nothing was taken, except that
// after a failure of the store or the end of ctx nobody knows; it can be shown
// to the client (package problem).
func (g *Gateway) Publish(ctx context.Context, inputs []webhook.Input) ([]Published, error) {
	gen, err := g.generation()
	if err != nil {
		return nil, err
	}
	if g.Closing() {
		return nil, stopping()
	}
	if err := g.checkRoom(ctx, gen, inputs); err != nil {
		return nil, err
	}

	now := g.now()
	p := publisher{g: g, gen: gen, now: now}
	pubs := make([]queue.Publication, len(inputs))
	events := make([]webhook.Event, len(inputs))
	for i := range inputs {
		events[i] = inputs[i].Event(now, gen.settings.APIVersion)
		pubs[i], err = p.publication(ctx, &inputs[i], &events[i], len(inputs) > 1)
		if err != nil {
			return nil, storeProblem(err)
		}
	}

	receipts, err := g.store.Publish(ctx, pubs)
	if err != nil {
		return nil, storeProblem(err)
	}
	results := make([]Published, len(inputs))
	for i, r := range receipts {
		results[i] = judge(&inputs[i], &events[i], r)
		g.observer.EventPublished(results[i].Result)
	}
	return results, nil
}

// checkRoom refuses events while as many deliveries are pending as there may
// be. Repeats of stored events add none and are answered all the same.
func (g *Gateway) checkRoom(ctx context.Context, gen *Generation, inputs []webhook.Input) error {
	if g.store.Backlog("") < gen.settings.MaxPending {
		return nil
	}
	for i := range inputs {
		repeat, err := g.known(ctx, inputs[i].ProjectID, inputs[i].ID)
		if err != nil {
			return storeProblem(err)
		}
		if !repeat {
			e := problem.New(problem.BacklogFull, "As many deliveries are pending as the gateway may hold (max_pending). Send the request again later.")
			e.RetryAfter = 10 * time.Second
			return e
		}
	}
	return nil
}

// judge turns a store's receipt into the answer for one event.
func judge(in *webhook.Input, ev *webhook.Event, r queue.Receipt) Published {
	switch {
	case r.Stored == nil:
		return Published{ID: ev.ID, Result: Accepted, Deliveries: r.Deliveries}
	case in.SameContent(r.Stored):
		return Published{ID: ev.ID, Result: Duplicate, Deliveries: r.Deliveries}
	default:
		return Published{ID: ev.ID, Result: Rejected, Err: problem.New(problem.IDConflict,
			"An event with this id and other content was taken before. Give the new event an id of its own.")}
	}
}

// publisher prepares the publications of one Publish call. It carries what
// earlier events of the call say about their projects to later ones.
type publisher struct {
	g   *Gateway
	gen *Generation
	now time.Time

	// contexts holds what events of this call remember of projects; nil until
	// there is something. A forgotten project has a nil value.
	contexts map[string][]byte
}

// publication finds the webhooks that an event concerns.
func (p *publisher) publication(ctx context.Context, in *webhook.Input, ev *webhook.Event, batch bool) (queue.Publication, error) {
	pub := queue.Publication{
		Event:    ev,
		NewID:    in.ID == "",
		Remember: in.Project,
		Forget:   ev.Type == typeProjectDeleted,
	}
	project := in.Project
	if project == nil {
		var err error
		if project, err = p.remembered(ctx, ev.ProjectID); err != nil {
			return pub, err
		}
	}
	if batch && (pub.Remember != nil || pub.Forget) {
		if err := p.remember(ctx, &pub); err != nil {
			return pub, err
		}
	}

	env := filter.NewEvent(ev, project, p.gen.names)
	p.gen.index.Match(env, func(webhookID string, err error) {
		if t, ok := p.target(webhookID, err); ok {
			pub.Targets = append(pub.Targets, t)
		}
	})
	return pub, nil
}

// remembered returns what is known of a project for filters.
func (p *publisher) remembered(ctx context.Context, projectID string) ([]byte, error) {
	project, inCall := p.contexts[projectID]
	if !inCall {
		var err error
		if project, err = p.g.store.Context(ctx, projectID); err != nil {
			return nil, err
		}
	}
	if project == nil {
		// A project id needs no escapes (contract section 2).
		project = []byte(`{"id":"` + projectID + `"}`)
	}
	return project, nil
}

// remember lets later events of the same call see what this one says about its
// project, unless it is a repeat: those change nothing.
func (p *publisher) remember(ctx context.Context, pub *queue.Publication) error {
	if !pub.NewID {
		known, err := p.g.known(ctx, pub.Event.ProjectID, pub.Event.ID)
		if err != nil || known {
			return err
		}
	}
	if p.contexts == nil {
		p.contexts = make(map[string][]byte)
	}
	if pub.Forget {
		p.contexts[pub.Event.ProjectID] = nil
	} else {
		p.contexts[pub.Event.ProjectID] = pub.Remember
	}
	return nil
}

// target says how the delivery to a webhook that an event concerns begins.
// False: it is not even recorded.
func (p *publisher) target(webhookID string, filterErr error) (queue.Target, bool) {
	e, ok := p.gen.webhooks.get(webhookID)
	if !ok {
		return queue.Target{}, false // removed while the index was searched
	}
	switch {
	case filterErr != nil:
		p.g.observer.FilterFailed()
		if !e.filterErrors.allow(p.now) {
			return queue.Target{}, false
		}
		return queue.Target{WebhookID: webhookID, Status: webhook.FilterError, Reason: filterErr.Error()}, true
	case e.sub.State == webhook.Disabled:
		return queue.Target{WebhookID: webhookID, Status: webhook.Skipped, Reason: e.sub.DisabledReason}, true
	case p.g.store.Backlog(webhookID) >= p.gen.settings.MaxPendingPerWebhook:
		return queue.Target{WebhookID: webhookID, Status: webhook.Skipped, Reason: reasonBacklogFull}, true
	default:
		return queue.Target{WebhookID: webhookID, Status: webhook.Pending}, true
	}
}

const (
	typeProjectDeleted = "project.deleted"
	reasonBacklogFull  = "backlog_full"
)
