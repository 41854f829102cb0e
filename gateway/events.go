package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// EventDetail is an event and a page of what became of it per webhook.
type EventDetail struct {
	webhook.Event
	Webhooks []EventOutcome
	Next     string
}

// EventOutcome is what became of an event for one webhook of its project.
type EventOutcome struct {
	WebhookID  string
	Result     string // a webhook.Status, or a Result… constant
	DeliveryID string // empty if there is no delivery
	Error      string // of the filter
	Computed   bool   // judged now, because there is no delivery
}

// The results of webhooks that got no delivery (contract section 3).
const (
	ResultFiltered      = "filtered"       // its filter does not match
	ResultNotSubscribed = "not_subscribed" // it does not subscribe to the type
	ResultCreatedLater  = "created_later"  // it did not exist then
)

// Events lists the events of a project, newest first, test events included.
// next is empty on the last page; while it is not, a page can be short.
func (g *Gateway) Events(
	ctx context.Context, by *Key, projectID string, p Page,
) (list []webhook.Event, next string, err error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return nil, "", err
	}
	if !by.seesEvents(projectID) {
		return nil, "", noProject()
	}
	if err := checkLimit(p); err != nil {
		return nil, "", err
	}
	page, err := g.store.Events(ctx, queue.EventQuery{ProjectID: projectID, Cursor: p.Cursor, Limit: p.Limit})
	if err != nil {
		return nil, "", refusal(err, noProject())
	}
	return page.Events, page.Next, nil
}

// Event returns an event and what became of it, for a page of the webhooks that
// its project has now or that it has deliveries for, deleted ones too. projectID
// may be empty: it is only needed, on pain of a Conflict, if several projects that
// the key is for have an event with this id.
//
// What became of it for a webhook is its delivery's status where there is one.
// Where there is none it is judged now, by the webhook's present subscription
// and filter; a webhook that would get the event now has changed since, so it
// counts as created later. A test event concerns only the webhook it was for.
func (g *Gateway) Event(ctx context.Context, by *Key, id, projectID string, p Page) (EventDetail, error) {
	gen, err := g.admit(by, ScopeRead)
	if err != nil {
		return EventDetail{}, err
	}
	ev, err := g.eventFor(ctx, by, id, projectID)
	if err != nil {
		return EventDetail{}, err
	}
	after, err := p.after(listOfOutcomes(ev.ProjectID, ev.ID))
	if err != nil {
		return EventDetail{}, err
	}
	o := outcomes{g: g, gen: gen, by: by, event: &ev}
	if err := o.fill(ctx, after, p.Limit); err != nil {
		return EventDetail{}, refusal(err, noEvent())
	}
	return EventDetail{Event: ev, Webhooks: o.list, Next: o.next}, nil
}

// outcomes finds out what became of an event, webhook by webhook.
type outcomes struct {
	g     *Gateway
	gen   *Generation
	by    *Key
	event *webhook.Event

	env  *filter.Event // made when it is needed
	list []EventOutcome
	next string
}

// fill adds the outcomes of up to limit webhooks that follow after.
func (o *outcomes) fill(ctx context.Context, after string, limit int) error {
	for began := time.Now(); ; {
		ids, err := o.webhookIDs(ctx, after, limit+1)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if len(o.list) == limit || i > 0 && time.Since(began) > pageTime {
				o.next = cursorAfter(listOfOutcomes(o.event.ProjectID, o.event.ID), after)
				return nil
			}
			outcome, err := o.of(ctx, id)
			if err != nil {
				return err
			}
			if outcome.Result != "" {
				o.list = append(o.list, outcome)
			}
			after = id
		}
		if len(ids) <= limit {
			return nil
		}
	}
}

// webhookIDs returns up to limit ids that follow after, ascending: of the webhooks
// that are there, and of those that were when the event came.
func (o *outcomes) webhookIDs(ctx context.Context, after string, limit int) ([]string, error) {
	ev := o.event
	ids, err := o.g.store.EventWebhooks(ctx, ev.ProjectID, ev.ID, after, limit)
	if err != nil && !errors.Is(err, queue.ErrCorrupt) { // those that are there can be told all the same
		return nil, err
	}
	ids = append(ids, o.g.webhookIDs(o.gen, o.by, ev.ProjectID, after, limit)...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(limit, len(ids))], nil
}

// of returns what became of the event for a webhook, without a Result if there
// is nothing to tell, or nothing that the key may know.
func (o *outcomes) of(ctx context.Context, webhookID string) (EventOutcome, error) {
	if !o.g.seesDeliveriesOf(o.by, webhookID) {
		return EventOutcome{}, nil
	}
	d, found, err := o.delivery(ctx, webhookID)
	switch {
	case err != nil:
		return EventOutcome{}, err
	case found:
		outcome := EventOutcome{WebhookID: webhookID, Result: string(d.Status), DeliveryID: d.ID}
		if d.Status == webhook.FilterError {
			outcome.Error = d.Reason
		}
		return outcome, nil
	case isTestEvent(o.event.ID):
		return EventOutcome{}, nil
	}
	return o.judge(ctx, webhookID)
}

// delivery returns the delivery of the event to a webhook, if there is one.
func (o *outcomes) delivery(ctx context.Context, webhookID string) (webhook.Delivery, bool, error) {
	q := queue.DeliveryQuery{WebhookID: webhookID, EventID: o.event.ID, Limit: MaxPage}
	for {
		page, err := o.g.store.Deliveries(ctx, q)
		if err != nil {
			return webhook.Delivery{}, false, err
		}
		// A webhook of all projects can have one for each project with the id.
		for _, d := range page.Deliveries {
			if d.ProjectID == o.event.ProjectID {
				return d, true, nil
			}
		}
		if q.Cursor = page.Next; page.Next == "" {
			return webhook.Delivery{}, false, nil
		}
	}
}

// judge says why a webhook without a delivery got none.
func (o *outcomes) judge(ctx context.Context, webhookID string) (EventOutcome, error) {
	outcome := EventOutcome{WebhookID: webhookID, Computed: true}
	sub := o.gen.webhook(webhookID)
	entry, ok := o.gen.index.Entry(webhookID)
	if sub == nil || !ok {
		return EventOutcome{}, nil // deleted, and its delivery gone
	}
	if sub.CreatedAt.After(o.event.ReceivedAt) {
		outcome.Result = ResultCreatedLater
		return outcome, nil
	}
	env, err := o.environment(ctx)
	if err != nil {
		return outcome, err
	}
	switch verdict, err := entry.Judge(env); verdict {
	case filter.Matches:
		outcome.Result = ResultCreatedLater
	case filter.Failed:
		outcome.Result, outcome.Error = string(webhook.FilterError), err.Error()
	case filter.Filtered:
		outcome.Result = ResultFiltered
	default:
		outcome.Result = ResultNotSubscribed
	}
	return outcome, nil
}

// environment returns what filters see of the event. What it did not say about
// its project itself is what is remembered now.
func (o *outcomes) environment(ctx context.Context) (*filter.Event, error) {
	if o.env == nil {
		env, err := o.g.environment(ctx, o.gen, o.event)
		if err != nil {
			return nil, err
		}
		o.env = env
	}
	return o.env, nil
}

func (g *Gateway) environment(ctx context.Context, gen *Generation, ev *webhook.Event) (*filter.Event, error) {
	project := ev.Context
	if project == nil {
		var err error
		if project, err = g.store.Context(ctx, ev.ProjectID); err != nil {
			return nil, err
		}
	}
	env := filter.NewEvent(ev, project, gen.names) // nil is an object with the id
	env.Limit(&g.triedTimes)
	return env, nil
}

// webhookIDs returns up to limit ids of the webhooks that get the events of a
// project and that the key may see, ascending, that follow after.
func (g *Gateway) webhookIDs(gen *Generation, by *Key, projectID, after string, limit int) []string {
	ids := g.webhooks.page(projectID, after, limit)
	for _, sub := range gen.staticOf(projectID, by) {
		if sub.ID > after {
			ids = append(ids, sub.ID)
		}
	}
	slices.Sort(ids)
	return ids[:min(limit, len(ids))]
}
