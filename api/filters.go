package api

import (
	"errors"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// filterTest is the body of a filter test.
type filterTest struct {
	Filters   member[filters] `json:"filters" required:"false" nullable:"true" maxProperties:"32"`
	Filter    member[string]  `json:"filter" required:"false" nullable:"true" minLength:"1" maxLength:"4096" ifempty:"An empty text is no expression. Null is no filter." doc:"An expr expression. With filters, both must match."`
	Event     member[object]  `json:"event" required:"false" nullable:"true" doc:"An event as ingest takes it. Either this or event_id."`
	EventID   member[string]  `json:"event_id" required:"false" nullable:"true" minLength:"1" ifempty:"An empty text is no id. Null is none." doc:"The id of a stored event."`
	ProjectID member[string]  `json:"project_id" required:"false" nullable:"true" minLength:"1" ifempty:"An empty text is no id. Null is none." doc:"The project of event_id, or of an event that names none. It must not disagree with one that the event names."`
}

func (b *filterTest) test() gateway.FilterTest {
	return gateway.FilterTest{
		Filters: b.Filters.Value, Filter: b.Filter.Value, Envelope: []byte(b.Event.Value), EventID: b.EventID.Value, ProjectID: b.ProjectID.Value,
	}
}

// triedExists is about what the body names, as far as that could be read.
func triedExists(c *call) error {
	return onlyMissing(c.gw.CheckFilterTest(c, c.by, c.body.(*filterTest).test()))
}

// checkFilterTest leaves out that something is missing in whose place there is
// something wrong, which has been told.
func checkFilterTest(c *call, b *filterTest) []problem.Item {
	items, _ := c.gw.CheckFilterTest(c, c.by, b.test()) // triedExists tells the error
	return slices.DeleteFunc(items, func(it problem.Item) bool {
		filterGiven := b.Filters.Given() || b.Filter.Given()
		eventGiven := b.Event.Given() || b.EventID.Given()
		return it.Code == problem.Missing && (it.Pointer == "#/filter" && filterGiven || it.Pointer == "#/event" && eventGiven)
	})
}

// wireVerdict is what a filter made of an event.
type wireVerdict struct {
	Match bool       `json:"match"`
	Error itemOrNull `json:"error" doc:"Why the filter failed on the event: no delivery would be sent then."`
}

// itemOrNull is one item of a problem, or null.
type itemOrNull struct{ item *problem.Item }

// MarshalJSONTo writes the item.
func (i itemOrNull) MarshalJSONTo(enc *jsontext.Encoder) error {
	if i.item == nil {
		return enc.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(enc, i.item)
}

// Schema implements huma.SchemaProvider.
func (itemOrNull) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[problem.Item](), true, ""), {Type: "null"}}}
}

func (a *API) registerFilters(h huma.API) {
	type nothing struct{}
	type verdict struct{ Body wireVerdict }
	register(a, h, operation[filterTest]{
		id: "test-filter", method: http.MethodPost, path: "/filters/test",
		summary: "Try a filter on an event", description: "On one that is given, or on a stored one. Nothing is sent or stored.",
		scope: gateway.ScopeRead, errors: []int{http.StatusNotFound, http.StatusConflict},
		exists: triedExists, check: checkFilterTest,
		request: map[string]any{
			"filter": `project.name == "My Project"`,
			"event":  map[string]any{"type": "project.created", "data": map[string]any{"id": "proj_123", "name": "My Project"}},
		},
	}, func(c *call, _ *nothing, b *filterTest) (*verdict, error) {
		v, err := c.gw.TestFilter(c, c.by, b.test())
		if err != nil {
			return nil, err
		}
		return &verdict{wireVerdict{Match: v.Match, Error: itemOrNull{failureOf(v.Err)}}}, nil
	})
}

// failureOf tells why a filter failed on an event.
func failureOf(err error) *problem.Item {
	if err == nil {
		return nil
	}
	item := problem.Item{Detail: err.Error(), Pointer: "#/filter"}
	if e, ok := errors.AsType[*filter.Error](err); ok {
		item = gateway.FilterProblem(e)
	}
	item.Code = problem.FilterError
	return &item
}
