package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalAPIKey reads "api_key <name> <token or hash> [{ … }]". No error
// repeats the token.
func (a *App) unmarshalAPIKey(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("api_key takes a name and a token (or sha256:<hash>), not %d arguments", len(args))
	}
	name, key := args[0], &APIKey{Token: args[1]}
	if err := checkName(name); err != nil {
		return d.Errf("api_key: %w", err)
	}
	if a.APIKeys[name] != nil {
		return d.Errf("api_key %s is there already: give this one another name", name)
	}
	if key.Token == "" {
		return d.Errf("api_key %s: the token must not be empty", name)
	}
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := key.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	if a.APIKeys == nil {
		a.APIKeys = make(map[string]*APIKey)
	}
	a.APIKeys[name] = key
	return nil
}

func (k *APIKey) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	if err := seen.once(d); err != nil {
		return err
	}
	switch name := d.Val(); name {
	case "scope":
		if err := textArgs(d, &k.Scopes); err != nil {
			return err
		}
		if _, err := k.scopes(); err != nil {
			return d.Errf("scope: %w", err)
		}
		return nil
	case "projects":
		return projectArgs(d, &k.Projects)
	default:
		return unrecognized(d, name)
	}
}
