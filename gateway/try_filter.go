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
// says which. Of Filters and Filter, those that are set must match.
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
	if err := RequireScope(by, ScopeRead); err != nil {
		return FilterVerdict{}, err
	}
	gen, err := g.generation()
	if err != nil {
		return FilterVerdict{}, err
	}
	rule, items := gen.triedRule(t)
	items = append(items, checkSubject(t)...)
	var ev webhook.Event
	if len(t.Envelope) > 0 && t.EventID == "" {
		var e *problem.Error
		if ev, e = gen.triedEvent(t, g); e != nil && e.Code != problem.Invalid {
			return FilterVerdict{}, e
		} else if e != nil {
			items = append(items, e.Items...)
		} else if webhook.ValidProjectID(t.ProjectID) && t.ProjectID != ev.ProjectID {
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: "#/project_id", Detail: "The event names another project. Leave this out, or the project of the event.",
			})
		}
	}
	if len(items) > 0 {
		return FilterVerdict{}, problem.New(problem.Invalid, "The request breaks a rule; see errors.", items...)
	}
	if len(t.Envelope) == 0 {
		if ev, err = g.event(ctx, by, t.EventID, t.ProjectID); err != nil {
			return FilterVerdict{}, err
		}
	} else if !by.Allows(ev.ProjectID) {
		return FilterVerdict{}, noProject()
	}
	env, err := g.environment(ctx, gen, &ev)
	if err != nil {
		return FilterVerdict{}, refusal(err, noEvent())
	}
	match, err := rule.Match(env)
	return FilterVerdict{Match: match && err == nil, Err: err}, nil
}

// triedRule compiles the filter that is to be tried.
func (gen *Generation) triedRule(t FilterTest) (*filter.Rule, []problem.Item) {
	if t.Filter == "" && len(t.Filters) == 0 {
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
