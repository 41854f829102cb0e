package filter

import "time"

// The limits of both forms (docs/filters.md). What breaks one of the first
// group does not compile; what breaks one of the second fails on that event.
const (
	// MaxText is the length of a filter expression in bytes.
	MaxText = 4 << 10

	// MaxNodes is how many names, literals, operators and calls an expression
	// has. The middle of a chained comparison (1 < x < 5) and the left side of
	// ?: count twice.
	MaxNodes = 256

	// MaxDepth is how deep brackets of any kind nest.
	MaxDepth = 32

	// MaxPredicateDepth is how deep predicates nest: any(a, any(.b, …)) is 2.
	MaxPredicateDepth = 2

	// MaxPattern is the size of a compiled regular expression in instructions
	// of regexp/syntax. All of one filter together have at most twice that.
	MaxPattern = 256

	// MaxEntries is how many entries a filters map has.
	MaxEntries = 32

	// MaxPath is how many names a path of a filters map has. Ingest takes no
	// event in which a longer one could lead anywhere.
	MaxPath = 64

	// MaxValues is how many values one entry of a filters map lists.
	MaxValues = 100

	// MaxMapSize is the size of a filters map in bytes, paths and the JSON
	// texts of its values together.
	MaxMapSize = 16 << 10
)

const (
	// MaxSteps bounds the work of one evaluation. An element looked at by a
	// predicate is a step; so are 256 bytes read, 64 bytes made, 8 values
	// compared and 20 instructions × bytes of a regular expression.
	MaxSteps = 100_000

	// MaxTime bounds one evaluation in time.
	MaxTime = 50 * time.Millisecond

	// MaxEventTime bounds all evaluations for one event together. What is left
	// over then fails, so that a project full of slow filters cannot hold up
	// its events for long. A hundred thousand ordinary filters fit.
	MaxEventTime = time.Second

	// MaxProjectTime is how much time evaluations of one project may take at
	// once; it fills up again by ProjectTimeShare of the time that passes. So a
	// project takes a half of one core at most, whatever it publishes.
	MaxProjectTime   = 2 * time.Second
	ProjectTimeShare = 0.5

	// MaxSubject is the length of a string that a regular expression is
	// matched against, in bytes.
	MaxSubject = 16 << 10

	// MaxConcat is the length of a string that + may make, in bytes.
	MaxConcat = 64 << 10

	// maxParsed is the length of a text that int, float, date and duration
	// read, in bytes.
	maxParsed = 128

	// maxErrorText is the length of an error text in bytes: it is stored with
	// the delivery and may quote the event.
	maxErrorText = 500

	// freeSteps is how many steps an evaluation makes before it looks at the
	// clock, so that a small filter on a busy machine is never late.
	freeSteps = 256
)
