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
	Faults   faults
}

// Fault returns what is wrong with a field.
func (p secretPage) Fault(field string) string { return p.Faults.of(field) }

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
	if err := gateway.RequireScope(v.by, gateway.ScopeManage); err != nil {
		return err
	}
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
		items := v.gw.CheckRotation(v.by, w.ID, r)
		page.Faults = append(newFaults(items), fault{"overlap", "The overlap must be a duration such as 24h or 2d."})
		return v.showSecretForm(http.StatusUnprocessableEntity, w, page)
	}
	w2, secret, err := v.gw.RotateSecret(v.ctx(), v.by, w.ID, r)
	e := problem.From(err)
	switch {
	case err == nil:
		return v.showWebhook(http.StatusOK, w2, secret, false)
	case e.Code == problem.Invalid && len(e.Items) > 0:
		page.Faults = newFaults(e.Items)
	case e.Code == problem.Invalid, e.Code == problem.Conflict:
		page.Faults = faults{{"force", e.Detail}}
	default:
		return err
	}
	return v.showSecretForm(e.Status(), w, page)
}
