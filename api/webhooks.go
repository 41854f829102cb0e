package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// projectPath and webhookPath are the parameters of paths.
type projectPath struct {
	ProjectID string `path:"project_id" doc:"The project's id." example:"proj_123"`
}

type webhookPath struct {
	ID string `path:"id" doc:"The webhook's id: wh_…."`
}

// conditional is webhookPath with what the client believes about the webhook.
type conditional struct {
	ID      string `path:"id" doc:"The webhook's id: wh_…."`
	IfMatch string `header:"If-Match" doc:"Do it only if the webhook has this ETag still, or one of several. * is any."`
}

type webhookAnswer struct {
	ETag string `header:"ETag" doc:"Names this state of the webhook; see If-Match."`
	Body wireWebhook
}

func answerWebhook(w *gateway.Webhook, secret string) *webhookAnswer {
	return &webhookAnswer{ETag: `"` + w.Version + `"`, Body: newWireWebhook(w, secret)}
}

func (a *API) registerWebhooks(h huma.API) {
	a.registerProjectWebhooks(h)
	a.registerOneWebhook(h)
	a.registerRotation(h)
}

func (a *API) registerProjectWebhooks(h huma.API) {
	type created struct {
		Location string `header:"Location" doc:"The path of the webhook."`
		ETag     string `header:"ETag" doc:"Names this state of the webhook; see If-Match."`
		Body     wireWebhook
	}
	register(a, h, operation[creation]{
		id: "create-webhook", method: http.MethodPost, path: "/projects/{project_id}/webhooks",
		summary:     "Create a webhook",
		description: "A secret that the gateway generates is shown in this answer and never again; one that is given is never shown.",
		scope:       gateway.ScopeManage, status: http.StatusCreated, errors: []int{http.StatusConflict},
		exists: projectAllowed, check: checkCreation,
		request: exampleCreation, response: exampleWebhook,
	}, func(c *call, in *projectPath, b *creation) (*created, error) {
		if err := projectAllowed(c); err != nil {
			return nil, err
		}
		var spec gateway.WebhookSpec
		b.apply(&spec)
		w, secret, err := c.gw.CreateWebhook(c, c.by, in.ProjectID, spec)
		if err != nil {
			return nil, err
		}
		out := answerWebhook(&w, secret)
		return &created{Location: a.options.Prefix + "/webhooks/" + w.ID, ETag: out.ETag, Body: out.Body}, nil
	})

	type listQuery struct {
		ProjectID string `path:"project_id" doc:"The project's id."`
		Paging
	}
	type webhooks struct{ Body list[wireWebhook] }
	register(a, h, operation[noBody]{
		id: "list-webhooks", method: http.MethodGet, path: "/projects/{project_id}/webhooks",
		summary: "List the webhooks of a project", description: "Those of the configuration that get the project's events are among them.",
		scope: gateway.ScopeRead, exists: projectAllowed, page: pageOfWebhooks,
	}, func(c *call, in *listQuery, _ *noBody) (*webhooks, error) {
		if err := projectAllowed(c); err != nil {
			return nil, err
		}
		found, next, err := c.gw.Webhooks(c, c.by, in.ProjectID, in.page())
		if err != nil {
			return nil, err
		}
		data := make([]wireWebhook, len(found))
		for i := range found {
			data[i] = newWireWebhook(&found[i], "")
		}
		return &webhooks{newList(data, next)}, nil
	})
}

func (a *API) registerOneWebhook(h huma.API) {
	register(a, h, operation[noBody]{
		id: "get-webhook", method: http.MethodGet, path: "/webhooks/{id}",
		summary: "Read a webhook", scope: gateway.ScopeRead,
		exists: webhookExists, response: exampleWebhook,
	}, func(c *call, in *webhookPath, _ *noBody) (*webhookAnswer, error) {
		w, err := c.gw.Webhook(c, c.by, in.ID)
		if err != nil {
			return nil, err
		}
		return answerWebhook(&w, ""), nil
	})

	register(a, h, operation[change]{
		id: "change-webhook", method: http.MethodPatch, path: "/webhooks/{id}",
		summary: "Change a webhook",
		description: "Members that are not in the body stay as they are; filters, headers, events and retry are replaced whole; null resets to the default. " +
			"Of a webhook of the configuration only the status can be changed.",
		scope: gateway.ScopeManage, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		exists: webhookExists, check: checkChange,
		request: exampleChange, response: exampleWebhook,
	}, func(c *call, in *conditional, b *change) (*webhookAnswer, error) {
		version, err := c.expectedVersion(in.ID)
		if err != nil {
			return nil, err
		}
		w, err := c.gw.ChangeWebhook(c, c.by, in.ID, version, b.apply)
		if err != nil {
			return nil, err
		}
		return answerWebhook(&w, ""), nil
	})

	type deleted struct{}
	register(a, h, operation[noBody]{
		id: "delete-webhook", method: http.MethodDelete, path: "/webhooks/{id}",
		summary: "Delete a webhook", description: "Its pending deliveries end as cancelled. Nothing is sent to it after the answer.",
		scope: gateway.ScopeManage, status: http.StatusNoContent, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		exists: webhookExists,
	}, func(c *call, in *conditional, _ *noBody) (*deleted, error) {
		version, err := c.expectedVersion(in.ID)
		if err != nil {
			return nil, err
		}
		return new(deleted), c.gw.DeleteWebhook(c, c.by, in.ID, version)
	})
}

func (a *API) registerRotation(h huma.API) {
	register(a, h, operation[rotation]{
		id: "rotate-secret", method: http.MethodPost, path: "/webhooks/{id}/rotate-secret",
		summary: "Give a webhook another secret",
		description: "During the overlap both secrets sign. With primary new, x-tengine-signature is of the new secret and x-tengine-signature-previous of the old one; " +
			"with previous, x-tengine-signature stays with the old one and x-tengine-signature-next is of the new one until the overlap ends. " +
			"Another rotation within the overlap is a conflict unless it has force.",
		scope: gateway.ScopeManage, optional: true, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		exists: webhookExists, check: checkRotation, request: map[string]any{"overlap": "24h", "primary": "new"}, response: exampleWebhook,
	}, func(c *call, in *conditional, b *rotation) (*webhookAnswer, error) {
		version, err := c.expectedVersion(in.ID)
		if err != nil {
			return nil, err
		}
		r := b.rotation()
		r.IfMatch = version
		w, secret, err := c.gw.RotateSecret(c, c.by, in.ID, r)
		if err != nil {
			return nil, err
		}
		return answerWebhook(&w, secret), nil
	})
}

func checkRotation(c *call, b *rotation) []problem.Item {
	return c.gw.CheckRotation(c.by, c.path("id"), b.rotation())
}

func pageOfWebhooks(c *call, p gateway.Page) error {
	_, _, err := c.gw.Webhooks(c, c.by, c.path("project_id"), p)
	return err
}

// projectAllowed is the exists of paths that begin with a project.
func projectAllowed(c *call) error { return gateway.RequireProject(c.by, c.path("project_id")) }

func webhookExists(c *call) error {
	return onlyMissing(c.gw.Webhook(c, c.asReader(), c.path("id")))
}

// historyExists is the exists of what can also be asked of a webhook that left
// the configuration: it is there to be read about, and conflicts with the rest.
func historyExists(c *call) error {
	return onlyMissing(struct{}{}, c.gw.CheckHistory(c.by, c.path("id")))
}

// expectedVersion returns the version that the request's If-Match asks for; ""
// for any (RFC 9110 section 13.1.1). Of several it is the present one, if that
// is among them.
func (c *call) expectedVersion(id string) (string, error) {
	values := c.r.Header.Values("If-Match")
	if len(values) == 0 {
		return "", nil
	}
	tags := strings.Split(strings.Join(values, ","), ",")
	for i := range tags {
		tags[i] = strings.TrimSpace(tags[i])
	}
	if len(tags) == 1 {
		if tags[0] == "*" { // among others it is no tag
			return "", nil
		}
		return versionOf(tags[0]), nil
	}
	w, err := c.gw.Webhook(c, c.asReader(), id)
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		if versionOf(tag) == w.Version {
			return w.Version, nil
		}
	}
	return noVersion, nil
}

// noVersion is the version of no webhook.
const noVersion = `""`

// versionOf returns the version of a strong ETag.
func versionOf(tag string) string {
	inner, ok := strings.CutPrefix(tag, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !ok || !closed || inner == "" {
		return noVersion
	}
	return inner
}

func checkCreation(c *call, b *creation) []problem.Item {
	var spec gateway.WebhookSpec
	b.apply(&spec)
	return c.gw.CheckSpec(c.path("project_id"), spec)
}

func checkChange(c *call, b *change) []problem.Item {
	return c.gw.CheckChange(c.by, c.path("id"), b.apply)
}
