package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// FilterTest is a filter to be tried on an event: one of Envelope and EventID
// says which. Of Filters and Filter, those that are set must match; Filters that
// are empty but not nil match every event, as those of a webhook do.
type FilterTest struct {
	Filters   map[string]json.RawMessage
	Filter    string
	Envelope  []byte // an event as ingest takes it
	EventID   string
	ProjectID string // the project of EventID; of Envelope, which then names this one or none
}

// FilterVerdict is what a filter made of an event.
type FilterVerdict struct {
	Match bool
	Err   error // why the filter failed on the event; it did not match then
}

// TestFilter tries a filter on an event: on an envelope as ingest takes it, or
// on one that was stored. Nothing is stored, sent or remembered. The project of
// the event must be one of the key's. A filter that fails on the event is no
// error of TestFilter: it is told in the verdict.
func (g *Gateway) TestFilter(ctx context.Context, by *Key, t FilterTest) (FilterVerdict, error) {
	gen, err := g.admit(by, ScopeRead)
	if err != nil {
		return FilterVerdict{}, err
	}
	ev, wrong, err := g.triedSubject(ctx, by, gen, t)
	if err != nil {
		return FilterVerdict{}, err
	}
	rule, items := gen.triedRule(t)
	if items = append(items, wrong...); len(items) > 0 {
		return FilterVerdict{}, problem.New(problem.Invalid, "The request breaks a rule; see errors.", items...)
	}
	env, err := g.environment(ctx, gen, &ev)
	if err != nil {
		return FilterVerdict{}, refusal(err, noEvent())
	}
	match, err := rule.Match(env)
	return FilterVerdict{Match: match && err == nil, Err: err}, nil
}

// CheckFilterTest returns what TestFilter would find wrong with a test, or the
// problem that what it names is not there for the key.
func (g *Gateway) CheckFilterTest(ctx context.Context, by *Key, t FilterTest) ([]problem.Item, error) {
	gen, err := g.generation()
	if err != nil {
		return nil, err
	}
	_, wrong, err := g.triedSubject(ctx, by, gen, t)
	_, items := gen.triedRule(t)
	return append(items, wrong...), err
}

// triedSubject returns the event that a test names, or what is wrong with naming
// it. That it is not there for the key is told before anything that is wrong.
func (g *Gateway) triedSubject(ctx context.Context, by *Key, gen *Generation, t FilterTest) (webhook.Event, []problem.Item, error) {
	if webhook.ValidProjectID(t.ProjectID) && !by.Allows(t.ProjectID) {
		return webhook.Event{}, nil, noProject()
	}
	items := checkSubject(t)
	switch {
	case len(t.Envelope) > 0 && t.EventID == "":
		ev, e := gen.triedEvent(t, g)
		switch {
		case e != nil && e.Code != problem.Invalid:
			return ev, nil, e
		case e != nil:
			items = append(items, e.Items...)
		case !by.Allows(ev.ProjectID):
			return ev, nil, noProject()
		case webhook.ValidProjectID(t.ProjectID) && t.ProjectID != ev.ProjectID:
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: "#/project_id", Detail: "The event names another project. Leave this out, or the project of the event.",
			})
		}
		return ev, items, nil
	case len(items) > 0:
		return webhook.Event{}, items, nil
	}
	ev, err := g.eventFor(ctx, by, t.EventID, t.ProjectID)
	return ev, nil, err
}

// triedRule compiles the filter that is to be tried.
func (gen *Generation) triedRule(t FilterTest) (*filter.Rule, []problem.Item) {
	if t.Filter == "" && t.Filters == nil {
		return nil, []problem.Item{{Code: problem.Missing, Pointer: "#/filter", Detail: `Give a "filter", "filters", or both.`}}
	}
	rule, err := filter.Compile(gen.settings.Engines[DefaultEngine], gen.names, t.Filters, t.Filter)
	if err == nil {
		return rule, nil
	}
	errs, ok := errors.AsType[filter.Errors](err)
	if !ok {
		return nil, []problem.Item{{Code: problem.InvalidFilter, Pointer: "#/filter", Detail: sentence(err.Error())}}
	}
	var items []problem.Item
	for _, e := range errs {
		items = append(items, FilterProblem(e))
	}
	return nil, items
}

// checkSubject judges whether it is clear which event is meant.
func checkSubject(t FilterTest) []problem.Item {
	switch {
	case len(t.Envelope) == 0 && t.EventID == "":
		return []problem.Item{{Code: problem.Missing, Pointer: "#/event", Detail: `Give an "event", or the "event_id" of one.`}}
	case len(t.Envelope) > 0 && t.EventID != "":
		return []problem.Item{{Code: problem.InvalidValue, Pointer: "#/event_id", Detail: `Give either an "event" or an "event_id".`}}
	case t.ProjectID != "" && !webhook.ValidProjectID(t.ProjectID):
		return []problem.Item{{Code: problem.InvalidValue, Pointer: "#/project_id", Detail: "A project id is 1 to 128 of A-Z a-z 0-9 _ . : and -."}}
	}
	return nil
}

// triedEvent reads an envelope as ingest does.
func (gen *Generation) triedEvent(t FilterTest, g *Gateway) (webhook.Event, *problem.Error) {
	s := gen.settings
	intake := webhook.Intake{Catalogue: s.Catalogue, DefaultProject: s.DefaultProject, Preserve: s.PreserveUnsafe}
	if t.ProjectID != "" {
		intake.DefaultProject = t.ProjectID
	}
	input, err := intake.One(t.Envelope)
	if err != nil {
		e := problem.From(err)
		for i := range e.Items {
			if at, ok := strings.CutPrefix(e.Items[i].Pointer, "#"); ok {
				e.Items[i].Pointer = "#/event" + at
			}
			e.Items[i].Offset = nil // the envelope is a part of the request
		}
		return webhook.Event{}, e
	}
	return input.Event(g.now(), s.APIVersion), nil
}
