// Package dashboard serves the pages on which people set up, test and
// understand webhooks (contract section 3b). It calls package gateway exactly as
// the API does, and knows neither Caddy nor a store.
//
// Pages are rendered on the server. Every form works without JavaScript; htmx
// and one small script make filters checked while they are typed, show the log
// live and write times in the viewer's zone. Nothing is inline, so that the
// content security policy needs no exception.
//
// What receivers answered and what events hold is always text, see visible.
//
// # Reading the source
//
// dashboard.go is what a request meets first, session.go finds out who asks,
// routes.go lists the paths, render.go makes the pages of templates/. Each group
// of pages has a file: webhooks.go, edit.go with form.go, secret.go,
// test_event.go, log.go with stream.go, delivery.go, events.go, replay.go,
// overview.go. words.go, text.go, time.go and plot.go say how things are shown.
package dashboard
