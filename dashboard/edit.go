package dashboard

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

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
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	project := v.form("project")
	if err := gateway.RequireProject(v.by, project); err != nil {
		return err
	}
	return v.showForm(http.StatusOK, "", project, &webhookForm{}, "")
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
	for _, t := range v.gw.EventTypes() {
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

func (v *visit) create() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	project := v.form("project")
	if err := gateway.RequireProject(v.by, project); err != nil {
		return err
	}
	f, spec, items := readWebhookForm(v.r.PostForm)
	if len(items) > 0 {
		f.tell(append(items, v.gw.CheckSpec(project, spec)...))
		return v.showForm(http.StatusUnprocessableEntity, "", project, f, "")
	}
	w, secret, err := v.gw.CreateWebhook(v.ctx(), v.by, project, spec)
	if err != nil {
		return v.refuseForm("", project, f, err)
	}
	return v.showWebhook(http.StatusCreated, w, secret, true)
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
	change := func(s *gateway.WebhookSpec) {
		spec.Status, spec.Secret = s.Status, ""
		*s = spec
	}
	if len(items) > 0 {
		f.tell(append(items, v.gw.CheckChange(v.by, w.ID, change)...))
		return v.showForm(http.StatusUnprocessableEntity, w.ID, w.ProjectID, f, "")
	}
	_, err = v.gw.ChangeWebhook(v.ctx(), v.by, w.ID, f.Version, change)
	if err != nil {
		return v.refuseForm(w.ID, w.ProjectID, f, err)
	}
	return v.redirect("/webhook/" + w.ID + "?done=changed")
}
