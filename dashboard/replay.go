package dashboard

import (
	"net/http"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// replayPage is the form of a replay: first the choice, then its dry run.
type replayPage struct {
	Webhook      gateway.Webhook
	Since, Until string
	Statuses     []statusChoice
	Fault        string
	Counted      bool
	Count        int
}

type statusChoice struct {
	Status webhook.Status
	Ticked bool
}

func (v *visit) replayForm() error {
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
	w, err := v.find()
	if err != nil {
		return err
	}
	page := newReplayPage(w, []string{string(webhook.Failed)})
	page.Since = time.Now().UTC().Add(-24 * time.Hour).Format("2006-01-02T15:04")
	return v.showReplay(http.StatusOK, page)
}

func newReplayPage(w gateway.Webhook, ticked []string) replayPage {
	page := replayPage{Webhook: w}
	for _, s := range webhook.Statuses {
		if s != webhook.Pending && s != webhook.Corrupt {
			page.Statuses = append(page.Statuses, statusChoice{s, slices.Contains(ticked, string(s))})
		}
	}
	return page
}

func (v *visit) showReplay(status int, page replayPage) error {
	return v.renderAt(place{"webhooks", page.Webhook.ProjectID}, status, "replay", "Replay deliveries", page)
}

// startReplay counts first; only a form that was shown the count sends.
func (v *visit) startReplay() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	form := v.r.PostForm
	page := newReplayPage(w, form["status"])
	page.Since, page.Until = form.Get("since"), form.Get("until")
	r := gateway.ReplayRequest{DryRun: form.Get("confirmed") == ""}
	for _, s := range form["status"][:min(len(form["status"]), len(webhook.Statuses))] {
		r.Status = append(r.Status, webhook.Status(s))
	}
	if r.Since, err = localTime(page.Since); err != nil {
		page.Fault = "Say from when on: a time like 2026-01-31T13:00, in UTC."
	}
	if page.Until != "" {
		if r.Until, err = localTime(page.Until); err != nil {
			page.Fault = "The end must be a time like 2026-01-31T13:00, in UTC."
		}
	}
	if len(r.Status) == 0 {
		page.Fault = "Tick at least one status."
	}
	if page.Fault != "" {
		return v.showReplay(http.StatusUnprocessableEntity, page)
	}
	made, err := v.gw.Replay(v.ctx(), v.by, w.ID, r)
	switch e := problem.From(err); {
	case err == nil && r.DryRun:
		page.Counted, page.Count = true, made.Count
		if page.Until == "" { // what comes meanwhile is not what was counted
			page.Until = made.Until.UTC().Format(time.RFC3339Nano)
			if made.Until.IsZero() {
				page.Until = ""
			}
		}
		return v.showReplay(http.StatusOK, page)
	case err == nil:
		return v.redirect("/replays/" + made.ID)
	case e.Code == problem.Invalid || e.Code == problem.Conflict || e.Code == problem.TooManyRequests:
		page.Fault = e.Detail
		for _, f := range newFaults(e.Items) {
			page.Fault += " " + f.Text
		}
		return v.showReplay(e.Status(), page)
	default:
		return err
	}
}

func (v *visit) showReplayStatus() error {
	r, err := v.gw.ReplayStatus(v.ctx(), v.by, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if isFragment(v.r) {
		return v.fragment("replaying", "progress", r)
	}
	return v.renderAt(place{"webhooks", r.ProjectID}, http.StatusOK, "replaying", "Replay", r)
}

func (v *visit) cancelReplay() error {
	r, err := v.gw.CancelReplay(v.ctx(), v.by, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.redirect("/replays/" + r.ID + "?done=cancelled")
}
