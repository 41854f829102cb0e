package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// wireLink is a link to the dashboard.
type wireLink struct {
	URL       string    `json:"url" format:"uri" example:"https://hooks.example.com/webhooks/open?link=…"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *API) registerLinks(h huma.API) {
	type path struct {
		ProjectID string `path:"project_id" doc:"The project's id."`
	}
	type link struct{ Body wireLink }
	register(a, h, operation[noBody]{
		id: "create-dashboard-link", method: http.MethodPost, path: "/projects/{project_id}/dashboard-links",
		summary: "Make a link that opens the dashboard of a project",
		description: "The link works once, within five minutes. The session that it opens is for this project, has at most the scopes of the key, " +
			"and ends with the key. 409 if the gateway serves no dashboard that people sign in to.",
		scope: gateway.ScopeRead, errors: []int{http.StatusConflict},
		exists: projectAllowed,
	}, func(c *call, in *path, _ *noBody) (*link, error) {
		if err := projectAllowed(c); err != nil {
			return nil, err
		}
		if _, ok := a.linkURL(c.r, ""); !ok {
			return nil, problem.New(problem.Conflict, "This gateway has no dashboard to sign in to: add webhook_dashboard to its configuration.")
		}
		made, err := c.gw.CreateLink(c, c.by, in.ProjectID)
		if err != nil {
			return nil, err
		}
		url, _ := a.linkURL(c.r, made.Token)
		return &link{wireLink{url, made.ExpiresAt}}, nil
	})
}

// linkURL returns the URL of a link to the dashboard, if there is one.
func (a *API) linkURL(r *http.Request, token string) (url string, ok bool) {
	if a.options.LinkURL == nil {
		return "", false
	}
	return a.options.LinkURL(r, token)
}
