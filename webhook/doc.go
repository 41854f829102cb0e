// Package webhook holds the nouns of the gateway and their rules: Event,
// Subscription, Delivery, Attempt, Outcome; their ids, their validation, and
// the canonical bytes of an event.
//
// It is pure: no I/O, no clocks of its own, no Caddy, no store. What a noun
// means to users is docs/contract.md; what the rest of the code may assume of
// a valid one is said here.
package webhook
