package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/dashboard"
)

func init() {
	caddy.RegisterModule(Dashboard{})
}

// Dashboard is the HTTP handler of the pages on which people set up, test and
// understand webhooks. Requests for paths outside its mount go to the next
// handler.
//
// Visitors sign in with an API key that has the scope `read`, and `manage` to
// make changes, or by a link that the management API made for one project,
// unless `projects_from` is set. Sessions are kept in memory: they outlive a
// reload, and a restart signs everybody out. Browsers keep them over https
// only, or on loopback.
type Dashboard struct {
	// The path under which the pages are. It is what the handler sees and what
	// browsers see: a prefix that something strips before breaks the links.
	// `/` is the root.
	// Default: `/webhooks`. In a Caddyfile: the path of the directive's
	// matcher, if it has one path.
	Mount string `json:"mount,omitempty"`

	// Where browsers reach the site that the dashboard is on, such as
	// `https://hooks.example.com`. Links to the dashboard begin with it. It is
	// needed where a proxy in front changes the Host of requests: changes that
	// come from a page of another host are refused.
	// Default: scheme and host of the request that asks for a link.
	PublicURL string `json:"public_url,omitempty"`

	// A placeholder that tells the projects of a visitor whom something in
	// front of this handler has authenticated: ids separated by spaces, or `*`
	// for all. Empty when a request comes is a 401. Then nobody signs in here,
	// and there are no links.
	//
	// Something must be in front that sets what the placeholder stands for on
	// every request, such as `forward_auth` with `copy_headers`, which also
	// removes what a client sends. Without it, clients could set a header
	// themselves.
	// Default: visitors sign in.
	ProjectsFrom string `json:"projects_from,omitempty"`

	// A placeholder that tells the scopes of such a visitor, separated by
	// spaces; empty when a request comes is `read manage`. Needs
	// `projects_from`.
	// Default: `read manage`.
	ScopesFrom string `json:"scopes_from,omitempty"`

	// The origins of pages that may show the dashboard in a frame, such as
	// `https://app.example.com`. Sessions that begin with a link then work
	// inside the frame.
	// Default: none, the dashboard cannot be framed.
	FrameAncestors []string `json:"frame_ancestors,omitempty"`

	life dashboardLife
}

// CaddyModule returns the Caddy module information.
func (Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.webhook_dashboard",
		New: func() caddy.Module { return new(Dashboard) },
	}
}

const defaultMount = "/webhooks"

// setDefaults fills in what is not set. Provision calls it.
func (h *Dashboard) setDefaults() {
	if h.Mount == "" {
		h.Mount = defaultMount
	}
}

// check returns what is wrong with the settings.
func (h *Dashboard) check() error {
	if err := checkMount(h.Mount); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := checkPublicURL(h.PublicURL); err != nil {
		return fmt.Errorf("public_url: %w", err)
	}
	for _, origin := range h.FrameAncestors {
		if err := dashboard.CheckFrameAncestor(origin); err != nil {
			return fmt.Errorf("frame_ancestors: %w", err)
		}
	}
	return checkIdentity(h.ProjectsFrom, h.ScopesFrom)
}

func checkMount(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	return dashboard.CheckMount(path)
}

func checkPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it must be a scheme and a host, such as https://hooks.example.com")
	}
	return nil
}

// Validate checks the settings. It implements caddy.Validator.
func (h *Dashboard) Validate() error { return h.check() }

// Interface guards
var (
	_ caddy.Module    = (*Dashboard)(nil)
	_ caddy.Validator = (*Dashboard)(nil)
)
