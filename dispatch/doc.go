// Package dispatch gets deliveries from the store to their receivers.
//
// A Dispatcher decides who is due and whose turn it is. A Sender makes one
// HTTP attempt and says what came of it; the Dispatcher only obeys. Test
// events and manual retries use the Sender without the Dispatcher.
//
// What belongs here: turns, limits, retries, the request and the judgement of
// the response. What does not: where deliveries are kept (queue), how a
// connection leaves the machine (egress), what a webhook is (gateway, through
// Receivers), and what becomes of one that failed too often (gateway, through
// Observer).
//
// # Reading the source
//
// dispatcher.go is the life of a Dispatcher, halt.go how it ends by itself.
// schedule.go says when a lane gets a turn, work.go what happens in one,
// deliver.go what becomes of a delivery. lane.go holds the rules of one webhook,
// ring.go the order of turns, alarm.go the lanes that wait for a time, clock.go
// the time itself, age.go what is too old, breaker.go spares receivers that are
// dead. once.go is an attempt by hand, forget.go ends those of a webhook that was
// deleted. sender.go, with budget.go, request.go
// and response.go, is one attempt.
//
// # Lock order
//
// A store may hold its own lock while it calls the watcher, which takes
// Dispatcher.mu. So nothing calls the store, Receivers or the Observer while it
// holds Dispatcher.mu.
package dispatch
