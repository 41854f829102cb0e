package dashboard

import (
	"net/http"
	"slices"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// testPage is the form for a test event and, once one was sent, its answer.
type testPage struct {
	Webhook gateway.Webhook
	Types   []webhook.EventType
	Type    string
	Data    string
	Fault   string
	Sent    *gateway.DeliveryDetail
}

func (v *visit) testForm() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	w, err := v.find()
	if err != nil {
		return err
	}
	return v.showTest(http.StatusOK, v.newTestPage(w, v.form("type")))
}

// newTestPage prepares the form with the sample of a type.
func (v *visit) newTestPage(w gateway.Webhook, name string) testPage {
	page := testPage{Webhook: w, Types: v.gw.EventTypes(), Type: name}
	at := slices.IndexFunc(page.Types, func(t webhook.EventType) bool { return t.Type == name })
	if at < 0 {
		at = max(0, slices.IndexFunc(page.Types, func(t webhook.EventType) bool { return filter.MatchesEvents(w.Events, t.Type) }))
	}
	if at < len(page.Types) {
		page.Type = page.Types[at].Type
		page.Data = string(pretty(page.Types[at].Sample))
	}
	return page
}

func (v *visit) showTest(status int, page testPage) error {
	return v.renderAt(place{"webhooks", page.Webhook.ProjectID}, status, "test", "Send a test event", page)
}

func (v *visit) sendTest() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	form := v.r.PostForm
	page := v.newTestPage(w, form.Get("type"))
	if form.Get("sample") != "" { // without JavaScript: another type was picked
		return v.showTest(http.StatusOK, page)
	}
	page.Data = form.Get("data")
	d, err := v.gw.SendTest(v.ctx(), v.by, w.ID, gateway.TestRequest{Type: page.Type, Data: []byte(page.Data)})
	if err == nil {
		page.Sent = &d
		return v.showTest(http.StatusOK, page)
	}
	e := problem.From(err)
	switch e.Code {
	case problem.Invalid, problem.BadRequest, problem.TooManyRequests, problem.TooLarge:
		page.Fault = e.Detail
		for _, f := range newFaults(e.Items) {
			page.Fault += " " + f.Text
		}
		if e.RetryAfter > 0 {
			v.w.Header().Set("Retry-After", retryAfter(e.RetryAfter))
		}
		return v.showTest(e.Status(), page)
	default:
		return err
	}
}
