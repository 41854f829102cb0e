package dashboard

import (
	"encoding/json"
	"errors"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// checkedEvents is how many of a project's latest events a filter is tried on.
const checkedEvents = 20

// checkResult says what a filter makes of the latest events.
type checkResult struct {
	Empty   bool // there is no filter
	Samples bool // there are no events yet: it was tried on the catalogue's samples
	Matched int
	Tried   int
	Failed  int    // events that the filter failed on
	Error   string // of the first of these
	Faults  []fault
}

// checkFilter tries the filter that stands in a form, while it is typed.
func (v *visit) checkFilter() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	project := v.form("project")
	_, spec, items := readWebhookForm(v.r.PostForm)
	var wrong []problem.Item
	for _, it := range items {
		if field, _ := splitPointer(it.Pointer); field == "filters" {
			wrong = append(wrong, it)
		}
	}
	if len(wrong) > 0 {
		return v.fragment("edit", "filter-check", checkResult{Faults: newFaults(wrong)})
	}
	if spec.Filter == "" && len(spec.Filters) == 0 {
		return v.fragment("edit", "filter-check", checkResult{Empty: true})
	}
	result, err := v.tryFilter(project, spec)
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Code == problem.Invalid {
		result = checkResult{Faults: newFaults(e.Items)}
		if len(e.Items) == 0 {
			result.Faults = faults{{Text: e.Detail}}
		}
		err = nil
	}
	if err != nil {
		return err
	}
	return v.fragment("edit", "filter-check", result)
}

func (v *visit) tryFilter(project string, spec gateway.WebhookSpec) (checkResult, error) {
	events, _, err := v.gw.Events(v.ctx(), v.by, project, gateway.Page{Limit: checkedEvents})
	if err != nil {
		return checkResult{}, err
	}
	result := checkResult{Samples: len(events) == 0}
	try := func(t gateway.FilterTest) error {
		t.Filters, t.Filter, t.ProjectID = spec.Filters, spec.Filter, project
		verdict, err := v.gw.TestFilter(v.ctx(), v.by, t)
		if err != nil {
			return err
		}
		result.Tried++
		switch {
		case verdict.Err != nil:
			if result.Failed++; result.Error == "" {
				result.Error = verdict.Err.Error()
			}
		case verdict.Match:
			result.Matched++
		}
		return nil
	}
	for _, e := range events {
		err := ignoreGone(try(gateway.FilterTest{EventID: e.ID}))
		if err != nil {
			return checkResult{}, err
		}
	}
	if !result.Samples {
		return result, nil
	}
	for _, t := range v.gw.EventTypes() {
		if webhook.IsOperational(t.Type) { // nobody publishes those
			continue
		}
		envelope, err := json.Marshal(map[string]any{"type": t.Type, "project_id": project, "data": t.Sample})
		if err != nil {
			return checkResult{}, err
		}
		if err := try(gateway.FilterTest{Envelope: envelope}); err != nil {
			return checkResult{}, err
		}
	}
	return result, nil
}
