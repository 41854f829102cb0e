// Package webhookgateway sends webhooks from inside Caddy: it takes events
// over HTTP, keeps them on disk, matches them against each webhook's filters,
// signs them and delivers them with retries.
//
// This package only makes "xcaddy build --with
// github.com/tengineai/webhook-gateway" work: it imports package caddymodule,
// which registers the Caddy modules. Read on there, or in docs/adr for the
// decisions behind the layout.
package webhookgateway

import _ "github.com/tengineai/webhook-gateway/caddymodule" // registers the Caddy modules
