// Package webhook holds the nouns of the gateway and their rules: Event,
// Subscription, Delivery, Attempt, Outcome; their ids, their validation, and
// the canonical bytes of an event.
//
// It is pure: no I/O, no clocks of its own, no Caddy, no store. What a noun
// means to users is docs/contract.md; what the rest of the code may assume of
// a valid one is said here.
//
// # Reading the source
//
// event.go, subscription.go and delivery.go are the nouns. An event that comes in
// is judged in intake*.go and cloudevents.go, and its canonical bytes are made in
// canonical*.go. catalogue*.go are the event types, eventid.go, header.go and
// rate.go the rules of single values.
package webhook
