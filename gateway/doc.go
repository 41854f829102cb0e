// Package gateway is the application: it takes events, finds the webhooks that
// they concern, stores both, and sees to their delivery. It ties filter, queue,
// dispatch and egress together and knows neither HTTP servers nor Caddy; the
// handlers in front of it hold no logic of their own.
//
// A Gateway lives as long as its store is open. What a configuration says
// about it is a Settings value, put in force by Apply and withdrawn again, so
// that a configuration can be replaced while events come in and deliveries are
// on their way.
//
// What belongs here: what a call means, who may make it, and what has to happen
// then. What does not: how it arrives and how its answer is written (api,
// dashboard, caddymodule), the rules of an event or a filter by itself (webhook,
// filter), how anything is kept (queue), when an attempt is made and how
// (dispatch, egress).
//
// # Reading the source
//
// Begin with gateway.go, the life of a Gateway, settings.go and generation.go,
// what a configuration puts in force, and publish.go, the way of an event in.
// The rest by subject:
//
//   - Webhooks: webhooks.go (reading, deleting), webhooks_change.go (creating,
//     changing), check.go (their rules), rotate.go (secrets). registry.go holds
//     them all in memory, record.go says what the store keeps of one,
//     webhook_state.go saves a change and puts it in force. parked.go has those
//     that left the configuration.
//   - Sealing of what is kept: seal.go (one record), seal_keys.go (which key,
//     and is it the right one), seal_again.go (another key).
//   - Deliveries: receivers.go tells the dispatcher where they go; deliveries.go
//     and events.go are the history, retry.go an attempt by hand, retry_owed.go what a
//     restart leaves of it, replay.go and replayer.go sending again what is over.
//   - Trying things: send_test_event.go, test_sends.go (how many at a time),
//     try_filter.go.
//   - What follows from failures: failing.go disables webhooks, operational.go
//     publishes the events webhook.…, filter_errors.go is about filters that always
//     fail, and budget.go bounds what all that leaves behind.
//   - Who asks: key.go, keys.go (those created while it runs), key_from.go (those
//     that somebody in front authenticated), auth_limit.go (wrong ones), access.go
//     (who may see what). session.go and link.go are the dashboard's sign-in.
//   - For operators: health.go, activity.go and overview.go (counts of the last
//     day), backup.go, janitor.go (retention).
//   - For all of these: loop.go (work in the background), page.go (parts of lists),
//     refusal.go (what an error of the store means for a client).
//
// # Lock order
//
// The lock of a webhook (Gateway.locks) comes before Gateway.mu. Both are held
// only to change something; whoever reads loads the generation in force.
package gateway
