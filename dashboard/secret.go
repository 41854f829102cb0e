package dashboard

import (
	"net/http"
	"strings"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

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
	if r.Overlap, err = webhook.ParseDuration(page.Overlap); err != nil && page.Overlap != "" {
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
