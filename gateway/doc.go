// Package gateway is the application: it takes events, finds the webhooks that
// they concern, stores both, and sees to their delivery. It ties filter, queue,
// dispatch and egress together and knows neither HTTP servers nor Caddy; the
// handlers in front of it hold no logic of their own.
//
// A Gateway lives as long as its store is open. What a configuration says
// about it is a Settings value, put in force by Apply and withdrawn again, so
// that a configuration can be replaced while events come in and deliveries are
// on their way.
package gateway
