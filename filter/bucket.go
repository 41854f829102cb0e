package filter

import (
	"maps"
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/webhook"
)

// bucket holds the entries of one project, in groups by what of their events
// lists they were put under: a type, "noun.*", "*", or anyType.
type bucket struct {
	groups map[string]*group
}

// maxPlaces bounds at how many places of the index one entry stands. An entry
// with more is put under anyType.
const maxPlaces = 128

// anyType is the group of entries whose lists are too long to put them under
// each type. Its candidates are judged by their events lists.
const anyType = ""

// indexed is an entry and its places.
type indexed struct {
	// rest is what is left to ask of an event that led to the entry's place;
	// nil is nothing. typed says that the place tells the event type too. Both
	// lie beside the id: most matches then cost one look into memory.
	rest  *Rule
	typed bool

	Entry
	places []place
}

// judge is Judge for an event that led here.
func (e *indexed) judge(ev *Event, unreadable bool) (Verdict, error) {
	if unreadable || !e.typed {
		return e.Judge(ev)
	}
	matched, err := e.rest.match(ev, e.ProjectID != webhook.AllProjects)
	switch {
	case err != nil:
		return Failed, err
	case matched:
		return Matches, nil
	}
	return Filtered, nil
}

// place is where an entry stands in a list.
type place struct {
	list     *list
	position int
}

func (b *bucket) put(e *indexed) {
	keys := groupKeys(e.Events)
	if len(keys) == 0 {
		return
	}
	chosen := b.choose(keys, e.conditions())
	if len(keys)*max(1, len(e.condition(chosen).Values)) > maxPlaces {
		keys = []string{anyType}
		chosen = b.choose(keys, e.conditions())
	}
	e.typed = keys[0] != anyType
	e.rest = e.Rule.without(chosen)
	condition := e.condition(chosen)
	for _, key := range keys {
		g := b.groups[key]
		if g == nil {
			g = newGroup(key)
			b.groups[key] = g
		}
		for _, l := range g.listsFor(condition) {
			l.add(e)
		}
	}
}

func (e *indexed) conditions() []Condition {
	if e.Rule == nil {
		return nil
	}
	return e.Rule.conditions
}

// condition gives the condition that choose chose, the zero Condition for none.
func (e *indexed) condition(chosen int) Condition {
	if chosen < 0 {
		return Condition{}
	}
	return e.Rule.conditions[chosen]
}

// maxIndexedPath bounds the path of a condition that an entry is indexed by,
// for each name on it costs memory.
const maxIndexedPath = 16

// choose picks the condition to index the entry by: the one whose lists are
// shortest now, so that a value that many entries share is not used where a
// rarer one will do. It gives its position, or -1 for none.
func (b *bucket) choose(keys []string, conditions []Condition) int {
	best, bestLength := -1, 0
	for i, c := range conditions {
		if len(c.Path) > maxIndexedPath || slices.Contains(c.Values, nil) {
			continue // nil also holds for what is absent, which no walk finds
		}
		length := 0
		for _, key := range keys[:min(sample, len(keys))] {
			if g := b.groups[key]; g != nil {
				length = max(length, g.longest(c))
			}
		}
		if best < 0 || length < bestLength {
			best, bestLength = i, length
		}
	}
	return best
}

func (b *bucket) remove(e *indexed) {
	for _, p := range e.places {
		p.list.remove(p.position)
		if p.list.empty() {
			b.drop(p.list)
		}
	}
}

// drop takes an empty list out of the trie it is in, and the group too if that
// was all of it.
func (b *bucket) drop(l *list) {
	if l.node != nil {
		l.node.dropValue(l.value)
	}
	if l.group.empty() {
		delete(b.groups, l.group.key)
	}
}

// groupKeys reduces an events list to patterns no two of which mean the same
// event.
func groupKeys(events []string) []string {
	if slices.Contains(events, "*") { // all but the operational types
		keys := []string{"*"}
		for _, t := range webhook.OperationalTypes() {
			if MatchesEvents(events, t.Type) {
				keys = append(keys, t.Type)
			}
		}
		return keys
	}
	keys := make(map[string]bool, len(events))
	for _, pattern := range events {
		keys[pattern] = true
	}
	for key := range keys {
		noun, _, _ := strings.Cut(key, ".")
		if noun+".*" != key && keys[noun+".*"] {
			delete(keys, key)
		}
	}
	return slices.Collect(maps.Keys(keys))
}
