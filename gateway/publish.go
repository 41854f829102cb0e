package gateway

import (
	"context"
	"errors"
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
		return nil, stoppingIntake()
	}
	if err := g.checkRoom(ctx, gen, inputs); err != nil {
		return nil, err
	}
	p := publisher{g: g, gen: gen, now: g.now(), events: len(inputs)}
	results := make([]Published, 0, len(inputs))
	for len(results) < len(inputs) {
		step, err := p.publish(ctx, inputs[len(results):])
		if err != nil && len(results) == 0 {
			return nil, err
		}
		if err != nil { // what was stored before stays, so the rest is refused one by one
			step = refuseAll(inputs[len(results):], err)
		}
		results = append(results, step...)
	}
	for i := range results {
		g.observer.EventPublished(results[i].Result)
	}
	return results, nil
}

// maxStepTargets bounds the deliveries that are prepared in memory before they
// are stored. One event can exceed it: its deliveries go together.
const maxStepTargets = 50_000

// publish stores the first of the inputs, as many as a step may hold.
func (p *publisher) publish(ctx context.Context, inputs []webhook.Input) ([]Published, error) {
	pubs := make([]queue.Publication, 0, len(inputs))
	p.added = nil // what was added before, the store counts
	for targets := 0; len(pubs) < len(inputs) && targets < maxStepTargets; {
		pub, err := p.publication(ctx, &inputs[len(pubs)])
		if err != nil {
			return nil, publishRefusal(err)
		}
		pubs = append(pubs, pub)
		targets += len(pub.Targets)
	}
	receipts, err := p.g.store.Publish(ctx, pubs)
	if err != nil {
		return nil, publishRefusal(err)
	}
	results := make([]Published, len(pubs))
	for i, r := range receipts {
		results[i] = judge(&inputs[i], pubs[i].Event, r)
	}
	return results, nil
}

func refuseAll(inputs []webhook.Input, err error) []Published {
	results := make([]Published, len(inputs))
	for i := range inputs {
		results[i] = Published{ID: inputs[i].ID, Result: Rejected, Err: problem.From(err)}
	}
	return results
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
			return publishRefusal(err)
		}
		if !repeat {
			return problem.Later(problem.BacklogFull,
				"As many deliveries are pending as the gateway may hold (max_pending). Send the request again later.", 10*time.Second)
		}
	}
	return nil
}

// known says whether an event is stored under a project and id. The store puts
// another in the place of one that is damaged.
func (g *Gateway) known(ctx context.Context, projectID, eventID string) (bool, error) {
	if eventID == "" {
		return false, nil
	}
	_, err := g.store.Event(ctx, projectID, eventID)
	if errors.Is(err, queue.ErrNotFound) || errors.Is(err, queue.ErrCorrupt) {
		return false, nil
	}
	return err == nil, err
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
	g      *Gateway
	gen    *Generation
	now    time.Time
	events int // of the call

	// added holds, by webhook, the pending deliveries of earlier events that are
	// not stored yet. Only those are counted that can fill a backlog: see near.
	added map[string]int
	near  bool // the events that are left could fill a backlog of the one at hand

	// seen has the ids that earlier events of a batch have brought.
	seen map[seenID]bool

	// contexts holds what events of this call remember of projects; nil until
	// there is something. A forgotten project has a nil value.
	contexts map[string][]byte
}

type seenID struct{ project, event string }

// publication finds the webhooks that an event concerns. Each event is
// allocated by itself: one that stays in memory must not keep others there.
func (p *publisher) publication(ctx context.Context, in *webhook.Input) (queue.Publication, error) {
	event := in.Event(p.now, p.gen.settings.APIVersion)
	ev := &event
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
	again := p.again(&pub)
	if p.events > 1 && !again {
		if err := p.remember(ctx, &pub); err != nil {
			return pub, err
		}
	}

	env := filter.NewEvent(ev, project, p.gen.names)
	env.Limit(&p.g.filterTimes)
	p.near = false
	p.gen.index.Match(env, func(webhookID string, err error) {
		if t, ok := p.target(ev, webhookID, err); ok {
			pub.Targets = append(pub.Targets, t)
		}
	})
	if p.near && !again {
		return pub, p.count(ctx, &pub)
	}
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

// again says whether an earlier event of the call has brought this one's id.
func (p *publisher) again(pub *queue.Publication) bool {
	if p.events == 1 || pub.NewID {
		return false
	}
	if p.seen == nil {
		p.seen = make(map[seenID]bool)
	}
	id := seenID{pub.Event.ProjectID, pub.Event.ID}
	again := p.seen[id]
	p.seen[id] = true
	return again
}

// count notes the pending deliveries of a publication for the events that
// follow it. Those of a repeat are stored, and counted, already.
func (p *publisher) count(ctx context.Context, pub *queue.Publication) error {
	known, err := p.known(ctx, pub)
	if err != nil || known {
		return err
	}
	if p.added == nil {
		p.added = make(map[string]int)
	}
	for _, t := range pub.Targets {
		if t.Status == webhook.Pending {
			p.added[t.WebhookID]++
		}
	}
	return nil
}

// remember lets later events of the same call see what this one says about its
// project, unless it is a repeat: those change nothing.
func (p *publisher) remember(ctx context.Context, pub *queue.Publication) error {
	if pub.Remember == nil && !pub.Forget {
		return nil
	}
	known, err := p.known(ctx, pub)
	if err != nil || known {
		return err
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

// known says whether a publication's event is stored already.
func (p *publisher) known(ctx context.Context, pub *queue.Publication) (bool, error) {
	if pub.NewID {
		return false, nil
	}
	return p.g.known(ctx, pub.Event.ProjectID, pub.Event.ID)
}

// target says how the delivery to a webhook that an event concerns begins.
// False: it is not even recorded.
func (p *publisher) target(ev *webhook.Event, webhookID string, filterErr error) (queue.Target, bool) {
	sub := p.gen.webhook(webhookID)
	if sub == nil {
		return queue.Target{}, false // removed while the index was searched
	}
	switch {
	case filterErr != nil:
		p.g.observer.FilterFailed()
		if !p.g.filterErrors.allow(webhookID, p.now) {
			return queue.Target{}, false
		}
		return queue.Target{WebhookID: webhookID, Status: webhook.FilterError, Reason: filterErr.Error()}, true
	case sub.State == webhook.Disabled:
		return queue.Target{WebhookID: webhookID, Status: webhook.Skipped, Reason: sub.DisabledReason}, true
	}
	pending, limit := p.g.store.Backlog(webhookID)+p.added[webhookID], p.gen.settings.MaxPendingPerWebhook
	p.near = p.near || p.events > 1 && pending < limit && pending+p.events > limit
	p.g.operations.backlog(ev, webhookID, pending, limit)
	if pending >= limit {
		return queue.Target{WebhookID: webhookID, Status: webhook.Skipped, Reason: webhook.ReasonBacklogFull}, true
	}
	return queue.Target{WebhookID: webhookID, Status: webhook.Pending}, true
}

const typeProjectDeleted = "project.deleted"
