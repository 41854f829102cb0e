package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhook_api", parseAPI)
	httpcaddyfile.RegisterDirectiveOrder("webhook_api", httpcaddyfile.Before, "respond")
}

// parseAPI reads one webhook_api directive.
func parseAPI(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(API)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from the directive:
//
//	webhook_api [<matcher>] {
//		path_prefix <path>
//		projects_from <placeholder>
//		scopes_from <placeholder>
//	}
func (h *API) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
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
	if err := checkIdentity(h.ProjectsFrom, h.ScopesFrom); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (h *API) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	if err := seen.once(d); err != nil {
		return err
	}
	switch name := d.Val(); name {
	case "path_prefix":
		if err := textArg(d, &h.PathPrefix); err != nil {
			return err
		}
		if err := checkPathPrefix(h.PathPrefix); err != nil {
			return d.Errf("%s: %w", name, err)
		}
		return nil
	case "projects_from":
		return textArg(d, &h.ProjectsFrom)
	case "scopes_from":
		return textArg(d, &h.ScopesFrom)
	default:
		return unrecognized(d, name)
	}
}

// Interface guards
var (
	_ caddyfile.Unmarshaler              = (*API)(nil)
	_ httpcaddyfile.UnmarshalHandlerFunc = parseAPI
)
