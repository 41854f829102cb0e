package caddymodule

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("webhook_dashboard", parseDashboard)
	httpcaddyfile.RegisterDirectiveOrder("webhook_dashboard", httpcaddyfile.Before, "respond")
}

// parseDashboard reads one webhook_dashboard directive. Its matcher also says
// where the pages are.
func parseDashboard(helper httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !helper.Next() {
		return nil, helper.ArgErr()
	}
	matcher, err := helper.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	h := new(Dashboard)
	if err := h.UnmarshalCaddyfile(helper.Dispenser); err != nil {
		return nil, err
	}
	if h.Mount == "" {
		h.Mount = mountOf(matcher)
	}
	if err := checkMount(h.Mount); err != nil {
		return nil, helper.Errf("%v: write it as \"mount <path>\" in the block", err)
	}
	return helper.NewRoute(matcher, h), nil
}

// mountOf returns the path of a matcher that has one path, without the slash
// and the asterisk at its end; empty if there is no such path.
func mountOf(matcher caddy.ModuleMap) string {
	var paths []string
	if err := json.Unmarshal(matcher["path"], &paths); err != nil || len(paths) != 1 {
		return ""
	}
	path := strings.TrimSuffix(strings.TrimSuffix(paths[0], "*"), "/")
	if path == "" {
		return "/"
	}
	return path
}

// UnmarshalCaddyfile sets up the handler from the directive:
//
//	webhook_dashboard [<matcher>] {
//		mount <path>
//		public_url <url>
//		projects_from <placeholder>
//		scopes_from <placeholder>
//		frame_ancestors <origins...>
//	}
//
// The path of the matcher is the mount, unless the block names another.
func (h *Dashboard) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	if err := h.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *Dashboard) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	if err := seen.once(d); err != nil {
		return err
	}
	switch name := d.Val(); name {
	case "mount":
		return textArg(d, &h.Mount)
	case "public_url":
		return textArg(d, &h.PublicURL)
	case "projects_from":
		return textArg(d, &h.ProjectsFrom)
	case "scopes_from":
		return textArg(d, &h.ScopesFrom)
	case "frame_ancestors":
		return textArgs(d, &h.FrameAncestors)
	default:
		return unrecognized(d, name)
	}
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Dashboard)(nil)
