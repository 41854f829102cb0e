package caddymodule

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/filter"
)

func init() {
	caddy.RegisterModule(FilterExpr{})
}

// FilterExpr is the built-in filter engine: an [expr](https://expr-lang.org)
// expression that gives a boolean, within the limits of docs/filters.md. It
// has no settings.
type FilterExpr struct{}

// CaddyModule returns the Caddy module information.
func (FilterExpr) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  filterNamespace + ".expr",
		New: func() caddy.Module { return new(FilterExpr) },
	}
}

// Compile implements filter.Engine.
func (FilterExpr) Compile(text string, names filter.Names) (filter.Program, error) {
	return filter.Expr.Compile(text, names)
}

// Interface guards
var (
	_ caddy.Module  = (*FilterExpr)(nil)
	_ filter.Engine = (*FilterExpr)(nil)
)
