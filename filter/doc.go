// Package filter answers one question: which subscriptions does an event
// concern? It compiles the two forms of filters (contract section 3), matches
// them against an event, and keeps an [Index] of all subscriptions so that an
// event pays for its matches and not for the number of subscriptions. It is
// pure: no I/O, no goroutines, no Caddy, no store.
//
// # The language
//
// The map form, "filters", asks for values at paths: every entry must hold,
// and an entry holds when the value at its path equals one of its values.
// Paths walk objects only. Nothing is coerced: "5" is not 5. Numbers are
// compared as doubles, 5 equals 5.0. null also matches what is absent.
//
// The expression form, "filter", is one expr expression that gives a boolean.
// Its sharp edges:
//
//   - An absent member is nil at any depth, and so is a member of something
//     that is no object and an element beyond the end of an array:
//     data.customer.name == "x" is false when there is no customer.
//   - nil compares with == and !=, and contains, startsWith, endsWith and
//     matches are false on it. Everything else with nil is an error:
//     data.x > 3, not data.x, data.x and true, any(data.x, …). Write
//     (data.x ?? 0) > 3, data.x != true, any(data.x ?? [], …).
//   - A filter whose result is nil does not match; any other result that is
//     not boolean is an error.
//   - == compares without coercion and never fails; arrays and objects are
//     compared by content.
//   - Numbers are doubles. % wants whole numbers; a fraction is an error.
//   - len counts the characters of a string, not its bytes; a slice of a
//     string, id[0:3], counts bytes.
//   - Terms of the form path == literal or path in [literals] that all must
//     hold (joined by and, at the top) are looked at before the rest, in any
//     order. Where one of them is false the rest is not evaluated and so
//     cannot fail.
//
// # What keeps a filter harmless
//
// Whoever may create a webhook may write a filter, so the text is treated as
// hostile. It is at most [MaxText] bytes, [MaxNodes] nodes, [MaxDepth]
// brackets deep, [MaxPredicateDepth] predicates deep, and uses only the
// builtins and operators listed in docs/filters.md. An evaluation ends after
// [MaxSteps] steps or [MaxTime]; work on long strings and large arrays costs
// steps in proportion. All filters of one event together get [MaxEventTime],
// those for all projects first. What goes wrong, panics included, is an error
// of that one filter on that one event. A filter has no way to change an
// event.
//
// # Reading the source
//
// rule.go is what one webhook asks of an event, index.go finds the rules that an
// event may match (bucket.go, group.go, trie.go). event.go is what rules look at.
// An expression goes through scan.go, vet.go, expr's own compiler and rewrite.go,
// which puts in the functions of functions.go and builtins.go; conditions.go takes
// from it what the index can answer. expr.go is all of this in order, behind the
// interface of engine.go. budget.go, project_time.go and regex.go bound the cost.
package filter
