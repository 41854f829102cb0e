package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("webhook_ingest", parseIngest)
	httpcaddyfile.RegisterDirectiveOrder("webhook_ingest", httpcaddyfile.Before, "respond")
}

// parseIngest reads one webhook_ingest directive.
func parseIngest(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Ingest)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile sets up the handler from the directive:
//
//	webhook_ingest [<matcher>] {
//		max_size <size>
//		max_batch <n>
//		max_batch_size <size>
//		auth off
//	}
func (h *Ingest) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
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
	return nil
}

func (h *Ingest) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	if err := seen.once(d); err != nil {
		return err
	}
	switch name := d.Val(); name {
	case "max_size":
		return sizeArg(d, &h.MaxSize, maxSizeRange)
	case "max_batch":
		return intArg(d, &h.MaxBatch, maxBatchRange)
	case "max_batch_size":
		return sizeArg(d, &h.MaxBatchSize, maxBatchSizeRange)
	case "auth":
		var off string
		if err := choiceArg(d, &off, "off"); err != nil {
			return err
		}
		h.AuthOff = true
		return nil
	default:
		return unrecognized(d, name)
	}
}

// Interface guards
var (
	_ caddyfile.Unmarshaler              = (*Ingest)(nil)
	_ httpcaddyfile.UnmarshalHandlerFunc = parseIngest
)
