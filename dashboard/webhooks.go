package dashboard

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// home sends visitors where they have something to do.
func (v *visit) home() error {
	switch {
	case v.operates():
		return v.redirect("/overview")
	case len(v.by.Projects) == 1:
		return v.redirect("/list?project=" + url.QueryEscape(v.by.Projects[0]))
	default:
		return v.redirect("/projects")
	}
}

type projectsPage struct {
	Projects []gateway.ProjectSummary
	Next     string
}

func (v *visit) projects() error {
	if project := v.form("project"); project != "" { // of the box to type one
		return v.redirect("/list?project=" + url.QueryEscape(strings.TrimSpace(project)))
	}
	list, next, err := v.gw.Projects(v.ctx(), v.by, v.page())
	if err != nil {
		return err
	}
	return v.renderAt(place{section: "projects"}, http.StatusOK, "projects", "Projects", projectsPage{list, next})
}

// page returns the part of a list that is asked for.
func (v *visit) page() gateway.Page {
	return gateway.Page{Cursor: v.form("cursor"), Limit: gateway.DefaultPage}
}

// listPage is the list of a project's webhooks.
type listPage struct {
	Project string
	Rows    []listRow
	Next    string
	First   bool // there is nothing before this page
	IPs     []string
}

type listRow struct {
	gateway.Webhook
	Activity gateway.WebhookActivity
	Failure  *webhook.Attempt // the last one that is known
}

func (v *visit) list() error {
	project := v.form("project")
	list, next, err := v.gw.Webhooks(v.ctx(), v.by, project, v.page())
	if err != nil {
		return err
	}
	page := listPage{Project: project, Next: next, First: v.form("cursor") == "", IPs: v.gw.EgressIPs()}
	for _, w := range list {
		row, err := v.listRow(w)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, row)
	}
	return v.renderAt(place{"webhooks", project}, http.StatusOK, "list", "Webhooks", page)
}

// latest is how many deliveries are looked at for the last failure of a webhook
// that has not been tried since the start of the process.
const latest = 10

func (v *visit) listRow(w gateway.Webhook) (listRow, error) {
	row := listRow{Webhook: w}
	var err error
	if row.Activity, err = v.gw.Activity(v.ctx(), v.by, w.ID); err != nil {
		return row, ignoreGone(err)
	}
	row.Failure = row.Activity.LastFailure
	if ok, failed := row.Activity.Totals(); row.Failure != nil || ok+failed > 0 {
		return row, nil
	}
	deliveries, _, err := v.gw.Deliveries(v.ctx(), v.by, w.ID, gateway.DeliveryFilter{}, gateway.Page{Limit: latest})
	if err != nil {
		return row, ignoreGone(err)
	}
	for _, d := range deliveries {
		if d.LastAttempt != nil && d.LastAttempt.Outcome != webhook.Success && !d.Test {
			row.Failure = d.LastAttempt
			break
		}
	}
	return row, nil
}

// ignoreGone drops the error of something that was removed meanwhile.
func ignoreGone(err error) error {
	if problem.From(err).Code == problem.NotFound {
		return nil
	}
	return err
}

// webhookPage is one webhook and the newest of its log.
type webhookPage struct {
	gateway.Webhook
	Activity gateway.WebhookActivity
	Form     *webhookForm // for the settings as text
	Log      logPage
	Snippets []snippet
	IPs      []string
	Secret   string // shown once, right after it was made
	Fresh    bool   // it was created just now
	Overlap  bool   // a rotation is under way
}

func (v *visit) webhook() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	return v.showWebhook(http.StatusOK, w, "", false)
}

// find returns the webhook that the path names.
func (v *visit) find() (gateway.Webhook, error) {
	return v.gw.Webhook(v.ctx(), v.by, v.r.PathValue("id"))
}

func (v *visit) showWebhook(status int, w gateway.Webhook, secret string, fresh bool) error {
	page := webhookPage{
		Webhook: w, Form: formOf(w), Secret: secret, Fresh: fresh,
		Snippets: snippets(), IPs: v.gw.EgressIPs(), Overlap: len(w.Secrets) > 1,
	}
	var err error
	if page.Activity, err = v.gw.Activity(v.ctx(), v.by, w.ID); err != nil {
		return err
	}
	if page.Log, err = v.log(w, gateway.DeliveryFilter{}, gateway.Page{Limit: 10}); err != nil {
		return err
	}
	return v.renderAt(place{"webhooks", w.ProjectID}, status, "webhook", nameOf(w), page)
}

// nameOf returns what a webhook is called.
func nameOf(w gateway.Webhook) string {
	if w.Description != "" {
		return visibleText(w.Description)
	}
	return visibleText(w.URL)
}

// setStatus pauses, resumes, disables or enables.
func (v *visit) setStatus() error {
	status := webhook.State(v.r.PostForm.Get("status"))
	if status != webhook.Active && status != webhook.Paused && status != webhook.Disabled {
		return problem.New(problem.Invalid, "The status must be active, paused or disabled.")
	}
	w, err := v.gw.ChangeWebhook(v.ctx(), v.by, v.r.PathValue("id"), "", func(s *gateway.WebhookSpec) { s.Status = status })
	if err != nil {
		return err
	}
	return v.redirect("/webhook/" + w.ID + "?done=" + string(status))
}

func (v *visit) deleteForm() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	w, err := v.find()
	if err != nil {
		return err
	}
	return v.renderAt(place{"webhooks", w.ProjectID}, http.StatusOK, "delete", "Delete webhook", w)
}

func (v *visit) delete() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	if err := v.gw.DeleteWebhook(v.ctx(), v.by, w.ID, ""); err != nil {
		return err
	}
	return v.redirect("/list?project=" + url.QueryEscape(w.ProjectID) + "&done=deleted")
}
