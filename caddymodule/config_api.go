package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/api"
)

func init() {
	caddy.RegisterModule(API{})
}

// API is the HTTP handler of the management API: webhooks and what became of
// their deliveries. Requests for paths that it does not have go to the next
// handler, so that it can stand in front of an application with an API of its
// own. An OpenAPI 3.1 document is served at `openapi.json` under the prefix.
//
// Clients need an API key with the scope `read` or `manage`, unless
// `projects_from` is set.
type API struct {
	// The path under which the API is served. It is what the handler sees: a
	// prefix that was stripped before is not part of it.
	// Default: `/api/v1`.
	PathPrefix string `json:"path_prefix,omitempty"`

	// A placeholder that tells the projects of a client whom something in
	// front of this handler has authenticated: ids separated by spaces, or `*`
	// for all. Empty when a request comes is a 401. Then no API keys are taken.
	//
	// Something must be in front that sets what the placeholder stands for on
	// every request, such as `forward_auth` with `copy_headers`, which also
	// removes what a client sends. Without it, clients could set a header
	// themselves.
	// Default: API keys are asked for.
	ProjectsFrom string `json:"projects_from,omitempty"`

	// A placeholder that tells the scopes of such a client, separated by
	// spaces; empty when a request comes is `read manage`. Needs
	// `projects_from`.
	// Default: `read manage`.
	ScopesFrom string `json:"scopes_from,omitempty"`

	life apiLife
}

// CaddyModule returns the Caddy module information.
func (API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.webhook_api",
		New: func() caddy.Module { return new(API) },
	}
}

// setDefaults fills in what is not set. Provision calls it.
func (h *API) setDefaults() {
	if h.PathPrefix == "" {
		h.PathPrefix = api.DefaultPrefix
	}
}

// Validate checks the settings. It implements caddy.Validator.
func (h *API) Validate() error {
	if err := checkPathPrefix(h.PathPrefix); err != nil {
		return fmt.Errorf("path_prefix: %w", err)
	}
	return checkIdentity(h.ProjectsFrom, h.ScopesFrom)
}

var pathPrefixForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

// checkPathPrefix checks a path under which something is served. "/" is the
// root.
func checkPathPrefix(path string) error {
	dots := strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") // which clients resolve
	if path != "/" && (path == "" || dots || !pathPrefixForm.MatchString(path)) {
		return errors.New("it must be a path such as /api/v1, without a slash at its end, and without escapes or dot segments")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Module    = (*API)(nil)
	_ caddy.Validator = (*API)(nil)
)
