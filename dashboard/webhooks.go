package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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

// editPage is the form of a new or an existing webhook.
type editPage struct {
	*webhookForm
	ID      string // empty: a new one
	Project string
	Groups  []eventGroup
	All     bool // "*" is ticked
	Check   *checkResult
	IPs     []string
	Summary string
}

// eventGroup is the event types of one noun.
type eventGroup struct {
	Noun    string
	Pattern string // "project.*"
	Ticked  bool
	Types   []eventChoice
}

type eventChoice struct {
	Type, Description string
	Ticked            bool
}

func (v *visit) newForm() error {
	return v.showForm(http.StatusOK, "", v.form("project"), &webhookForm{}, "")
}

func (v *visit) showForm(status int, id, project string, f *webhookForm, summary string) error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	page := editPage{webhookForm: f, ID: id, Project: project, IPs: v.gw.EgressIPs(), Summary: summary}
	page.Groups, page.All = v.eventGroups(f)
	title := "Add webhook"
	if id != "" {
		title = "Edit webhook"
	}
	return v.renderAt(place{"webhooks", project}, status, "edit", title, page)
}

// eventGroups arranges the catalogue for the event picker. Types that it does
// not list stay in f.OtherEvents.
func (v *visit) eventGroups(f *webhookForm) (groups []eventGroup, all bool) {
	ticked := make(map[string]bool)
	for _, event := range append(slices.Clone(f.Events), strings.Fields(f.OtherEvents)...) {
		ticked[event] = true
	}
	byNoun := make(map[string]int)
	for _, t := range v.eventTypes() {
		noun, _, _ := strings.Cut(t.Type, ".")
		at, ok := byNoun[noun]
		if !ok {
			at = len(groups)
			byNoun[noun] = at
			groups = append(groups, eventGroup{Noun: noun, Pattern: noun + ".*", Ticked: ticked[noun+".*"]})
			delete(ticked, noun+".*")
		}
		groups[at].Types = append(groups[at].Types, eventChoice{t.Type, t.Description, ticked[t.Type]})
		delete(ticked, t.Type)
	}
	all = ticked["*"]
	delete(ticked, "*")
	others := make([]string, 0, len(ticked))
	for event := range ticked {
		others = append(others, event)
	}
	slices.Sort(others)
	f.OtherEvents = strings.Join(others, " ")
	return groups, all
}

// eventTypes lists what webhooks can subscribe to.
func (v *visit) eventTypes() []webhook.EventType {
	types := v.gw.EventTypes()
	for _, t := range webhook.OperationalTypes() {
		if !slices.ContainsFunc(types, func(have webhook.EventType) bool { return have.Type == t.Type }) {
			types = append(types, t)
		}
	}
	return types
}

func (v *visit) create() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	project := v.form("project")
	f, spec, items := readWebhookForm(v.r.PostForm)
	if len(items) > 0 {
		f.tell(append(items, v.check(project, spec)...))
		return v.showForm(http.StatusUnprocessableEntity, "", project, f, "")
	}
	w, secret, err := v.gw.CreateWebhook(v.ctx(), v.by, project, spec)
	if err != nil {
		return v.refuseForm("", project, f, err)
	}
	return v.showWebhook(http.StatusCreated, w, secret, true)
}

// check returns what the gateway would say about a specification that the form
// has faults in already, so that all of them are told at once.
func (v *visit) check(project string, spec gateway.WebhookSpec) []problem.Item {
	s := v.gw.Settings()
	if s == nil {
		return nil
	}
	items := gateway.CheckSubscription(&webhook.Subscription{
		ProjectID: project, URL: spec.URL, Description: spec.Description, Events: spec.Events,
		Filters: spec.Filters, Filter: spec.Filter, Headers: spec.Headers,
	}, s.CheckContext())
	if spec.Secret != "" {
		items = append(items, secretProblems(spec.Secret)...)
	}
	return items
}

// refuseForm shows a form again with what the gateway has against it.
func (v *visit) refuseForm(id, project string, f *webhookForm, err error) error {
	e := problem.From(err)
	switch e.Code {
	case problem.Invalid:
		f.tell(e.Items)
		return v.showForm(e.Status(), id, project, f, summary(e))
	case problem.Conflict, problem.PreconditionFailed:
		text := e.Detail
		if e.Code == problem.PreconditionFailed {
			text = "Somebody changed this webhook while you were editing. Open it again to see the change; what you typed is still here."
		}
		return v.showForm(e.Status(), id, project, f, text)
	default:
		return err
	}
}

// summary is what to say of a problem that names no field.
func summary(e *problem.Error) string {
	if len(e.Items) > 0 {
		return ""
	}
	return e.Detail
}

func (v *visit) editForm() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	if w.Static {
		return errStatic
	}
	return v.showForm(http.StatusOK, w.ID, w.ProjectID, formOf(w), "")
}

var errStatic = problem.New(problem.Conflict, "This webhook is declared in the gateway's configuration. Change it there and reload; here it can only be paused, resumed and disabled.")

func (v *visit) edit() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	w, err := v.find()
	if err != nil {
		return err
	}
	if w.Static {
		return errStatic
	}
	f, spec, items := readWebhookForm(v.r.PostForm)
	if len(items) > 0 {
		f.tell(append(items, v.check(w.ProjectID, spec)...))
		return v.showForm(http.StatusUnprocessableEntity, w.ID, w.ProjectID, f, "")
	}
	_, err = v.gw.ChangeWebhook(v.ctx(), v.by, w.ID, f.Version, func(s *gateway.WebhookSpec) {
		spec.Status, spec.Secret = s.Status, ""
		*s = spec
	})
	if err != nil {
		return v.refuseForm(w.ID, w.ProjectID, f, err)
	}
	return v.redirect("/webhook/" + w.ID + "?done=changed")
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

// secretPage is the form of a rotation.
type secretPage struct {
	gateway.Webhook
	Overlap  string
	Previous bool // the secret in use goes on signing
	Force    bool
	Underway bool
	Fault    string
	Field    string
}

func (v *visit) secretForm() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	w, err := v.find()
	if err != nil {
		return err
	}
	if w.Static {
		return errStatic
	}
	return v.showSecretForm(http.StatusOK, w, secretPage{Overlap: "24h"})
}

func (v *visit) showSecretForm(status int, w gateway.Webhook, page secretPage) error {
	page.Webhook, page.Underway = w, len(w.Secrets) > 1
	return v.renderAt(place{"webhooks", w.ProjectID}, status, "secret", "Rotate secret", page)
}

func (v *visit) rotate() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	form := v.r.PostForm
	page := secretPage{Overlap: strings.TrimSpace(form.Get("overlap")), Previous: form.Get("primary") == "previous", Force: form.Get("force") != ""}
	r := gateway.Rotation{Secret: form.Get("secret"), Primary: webhook.SecretPrimary, Force: page.Force}
	if page.Previous {
		r.Primary = webhook.SecretPrevious
	}
	var ok bool
	if r.Overlap, ok = parseDuration(page.Overlap); !ok && page.Overlap != "" {
		page.Fault, page.Field = "The overlap must be a duration such as 24h or 2d.", "overlap"
		return v.showSecretForm(http.StatusUnprocessableEntity, w, page)
	}
	w2, secret, err := v.gw.RotateSecret(v.ctx(), v.by, w.ID, r)
	e := problem.From(err)
	switch {
	case err == nil:
		return v.showWebhook(http.StatusOK, w2, secret, false)
	case e.Code == problem.Invalid && len(e.Items) > 0:
		page.Field, _ = splitPointer(e.Items[0].Pointer)
		page.Fault = newFaults(e.Items)[0].Text
	case e.Code == problem.Invalid, e.Code == problem.Conflict:
		page.Fault, page.Field = e.Detail, "force"
	default:
		return err
	}
	return v.showSecretForm(e.Status(), w, page)
}

// secretProblems returns what keeps a text from being a secret.
func secretProblems(secret string) []problem.Item {
	if n := len([]rune(secret)); n < 16 || n > 256 {
		return []problem.Item{{Code: problem.InvalidValue, Pointer: "#/secret", Detail: "A secret has 16 to 256 characters."}}
	}
	return nil
}

var errNoTime = errors.New("no time")

// localTime reads what an <input type="datetime-local"> sends, as UTC, or a
// time in RFC 3339.
func localTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errNoTime
}
