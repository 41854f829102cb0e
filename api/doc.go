// Package api serves the management API of docs/contract.md section 3 over a
// gateway.Gateway: it reads requests, calls the gateway, and writes answers. It
// decides nothing about webhooks itself.
//
// Routes are registered with huma, which makes the OpenAPI document from the
// same Go types that requests are decoded into and answers are encoded from.
// Judging requests is ours (operation.go, query.go, body.go, decode.go): huma
// would stop at the first problem of a body, point to it by a path of its own,
// repeat the refused value, and judge the body before the webhook it is for. No
// variable of huma's is assigned: other modules of the process may use it.
//
// The package does not know Caddy; package caddymodule mounts it.
//
// # Reading the source
//
// api.go is what a request meets first, router.go finds its call. operation.go
// is the way of every call, from judging to answering; webhooks.go,
// deliveries.go, events.go, replays.go, filters.go, links.go and gateway.go
// register the calls. What goes over the wire is in webhook_types.go,
// delivery_types.go and values.go. openapi.go finishes the document, with
// examples.go. Types that others embed (WireDelivery, Paging) are exported for
// the sake of reflection only.
package api
