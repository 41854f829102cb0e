package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalBlock reads "egress { … }"; the dispenser is at "egress".
func (e *Egress) unmarshalBlock(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := e.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	return nil
}

func (e *Egress) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	name := d.Val()
	if name == "allow" {
		return e.unmarshalAllow(d)
	}
	if err := seen.once(d); err != nil {
		return err
	}
	switch name {
	case "source":
		return addressArgs(d, &e.Source)
	case "advertise":
		return addressArgs(d, &e.Advertise)
	case "proxy":
		return secretArg(d, &e.Proxy) // a proxy's URL may hold a password
	case "allow_http":
		if d.NextArg() {
			return d.ArgErr()
		}
		e.AllowHTTP = true
		return nil
	}
	return unrecognized(d, name)
}

// unmarshalAllow reads "allow <address or range> [{ projects … }]".
func (e *Egress) unmarshalAllow(d *caddyfile.Dispenser) error {
	var allow EgressAllow
	if err := textArg(d, &allow.Range); err != nil {
		return err
	}
	if _, err := parseRange(allow.Range); err != nil {
		return d.Errf("allow: %w", err)
	}
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.once(d); err != nil {
			return err
		}
		if name := d.Val(); name != "projects" {
			return unrecognized(d, name)
		}
		if err := projectArgs(d, &allow.Projects); err != nil {
			return err
		}
	}
	e.Allow = append(e.Allow, allow)
	if _, err := e.ranges(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}
