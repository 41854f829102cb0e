package filter

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"
)

// Engine reads one language of filter expressions. The built-in one is [Expr];
// others are guest modules of the host. An Engine is safe for concurrent use.
type Engine interface {
	// Compile turns a text into a program that may use the given names. It
	// never panics on any text; it returns an *Error that says what to do
	// where the text breaks the language or a limit. The result of the text
	// must be boolean.
	Compile(text string, names Names) (Program, error)
}

// Program is a compiled filter expression, immutable and safe for concurrent
// use.
type Program interface {
	// Match says whether the event passes. An error means that the event is
	// not delivered and the text of the error recorded. Match must end in
	// bounded time and memory whatever the event holds, and must not change
	// what it reads of the event.
	Match(ev *Event) (bool, error)
}

// Indexable is implemented by programs that can tell conditions an event must
// meet, so that the index need not evaluate them for other events.
type Indexable interface {
	// Conditions are necessary for a match. They are sufficient too if whole
	// is true; the program is not evaluated then.
	Conditions() (conditions []Condition, whole bool)
}

// Condition holds when the value at Path equals one of Values.
type Condition struct {
	// Path is the way through objects from a top-level name: "data", "id".
	Path []string

	// Values are strings, float64s, bools or nil; nil also stands for absent.
	Values []any
}

// baseNames are the names every filter may use, in the order of the contract.
var baseNames = []string{"id", "type", "created_at", "api_version", "data", "project"}

// keywords are the words of expr that cannot be names.
var keywords = []string{
	"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith",
	"let", "if", "else", "true", "false", "nil",
}

// Names are the top-level names of a filter's environment: id, type,
// created_at, api_version, data, project, and the nouns of a catalogue. Build
// it with NewNames once per configuration. The zero Names has no nouns. Names
// are immutable.
type Names struct {
	nouns map[string]bool
	key   string // the nouns, sorted and joined: equal for equal Names
}

// NewNames describes the environment for a catalogue of event types. The first
// word of each type is a noun where it is an identifier, no keyword of expr
// and not taken already: "api_key.created" gives api_key.
func NewNames(eventTypes []string) Names {
	nouns := make(map[string]bool)
	for _, eventType := range eventTypes {
		word, _, _ := strings.Cut(eventType, ".")
		if isIdentifier(word) && !slices.Contains(keywords, word) && !slices.Contains(baseNames, word) {
			nouns[word] = true
		}
	}
	names := Names{nouns: nouns}
	names.key = strings.Join(names.sortedNouns(), " ")
	return names
}

// List gives all names: the fixed ones in the order of the contract, then the
// nouns in alphabetical order.
func (n Names) List() []string {
	return append(slices.Clone(baseNames), n.sortedNouns()...)
}

// Has says whether a filter may use the top-level name.
func (n Names) Has(name string) bool {
	return n.nouns[name] || slices.Contains(baseNames, name)
}

func (n Names) sortedNouns() []string {
	nouns := make([]string, 0, len(n.nouns))
	for noun := range n.nouns {
		nouns = append(nouns, noun)
	}
	slices.Sort(nouns)
	return nouns
}

// environment describes the names and their types to expr's checker.
func (n Names) environment() types.Map {
	object := types.TypeOf(map[string]any{})
	env := types.Map{
		"id":          types.String,
		"type":        types.String,
		"created_at":  types.String,
		"api_version": types.String,
		"data":        object,
		"project":     object,
		budgetName:    types.TypeOf(&budget{}),
	}
	for noun := range n.nouns {
		env[noun] = types.Any
	}
	return env
}

// isIdentifier says whether a catalogue word can be written as a name. Words
// that begin with two underscores are kept for the package itself.
func isIdentifier(word string) bool {
	if word == "" || strings.HasPrefix(word, "__") || word[0] >= '0' && word[0] <= '9' {
		return false
	}
	for _, c := range []byte(word) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
