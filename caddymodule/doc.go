// Package caddymodule is the gateway as Caddy modules: the app
// (webhook_gateway), its HTTP handlers, Caddyfile syntax, admin routes,
// commands and metrics. It is the only package that imports Caddy; what the
// gateway does is in package gateway and below.
//
// What belongs here: what Caddy's users write and see, and when things begin
// and end in Caddy's lifecycle. What does not: any decision about an event, a
// webhook or a delivery.
//
// # Reading the source
//
// Begin with app.go, the life of the app; engine.go, what outlives a
// configuration; and ingest.go, a handler. The prefix of a file says the rest:
//
//   - config*.go are the fields of the JSON configuration, with their reference
//     documentation. caddyfile*.go read the same from a Caddyfile. settings*.go
//     turn it into what package gateway takes. rules.go says what values may be,
//     for both; placeholder.go resolves secrets.
//   - ingest*.go, api.go and dashboard.go are the handlers, identity.go how they
//     find out who asks.
//   - guests.go loads guest modules; store_badger.go and filter_expr.go are those
//     that are built in. directory.go makes one name of a store's directory.
//   - admin*.go are the routes of Caddy's admin API; admin_client.go and
//     admin_stream.go are the commands' side of them.
//   - command*.go are the commands under "caddy webhook", one file each; listen
//     and demo have their receivers beside them.
//   - package steady below is the network whose connections go on over a reload.
//   - metrics.go, relay.go and bus.go tell what happens: in numbers, in the log of
//     the newest configuration, on Caddy's event bus.
package caddymodule
