// Package caddymodule is the gateway as Caddy modules: the app
// (webhook_gateway), its HTTP handlers, Caddyfile syntax, admin routes,
// commands and metrics. It is the only package that imports Caddy; what the
// gateway does is in package gateway and below.
package caddymodule
