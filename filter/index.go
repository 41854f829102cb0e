package filter

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Index answers which subscriptions an event concerns, in time that grows with
// the matches. Subscriptions are found by project, then by event type, then by
// one of their conditions; only those that are found so are evaluated. The
// zero Index is empty and ready. It is safe for concurrent use; no lock is
// held while filters are evaluated.
type Index struct {
	mu       sync.RWMutex
	entries  map[string]*indexed
	projects map[string]*bucket
}

// Entry is one subscription as the index knows it. Do not change what it
// points to after Put.
type Entry struct {
	ID        string
	ProjectID string   // or webhook.AllProjects
	Events    []string // as in webhook.Subscription
	Rule      *Rule    // nil matches every event
}

// Verdict is why an entry does or does not get an event.
type Verdict string

const (
	Matches       Verdict = "matches"        // it gets the event
	OtherProject  Verdict = "other_project"  // the event belongs to a project that is not its own
	NotSubscribed Verdict = "not_subscribed" // none of its events patterns means the event's type
	Filtered      Verdict = "filtered"       // its filter stops the event
	Failed        Verdict = "filter_error"   // its filter failed on the event; see the error
)

// Judge says whether the entry gets the event and why, without an index. The
// error is set with Failed only.
func (e Entry) Judge(ev *Event) (Verdict, error) {
	if e.ProjectID != webhook.AllProjects && e.ProjectID != ev.event.ProjectID {
		return OtherProject, nil
	}
	if !MatchesEvents(e.Events, ev.event.Type) {
		return NotSubscribed, nil
	}
	matched, err := e.Rule.Match(ev)
	switch {
	case err != nil:
		return Failed, err
	case matched:
		return Matches, nil
	}
	return Filtered, nil
}

// NewIndex makes an empty index.
func NewIndex() *Index { return &Index{} }

// Len gives the number of entries.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries)
}

// Entry gives the entry with the id, if there is one.
func (x *Index) Entry(id string) (Entry, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.entries[id]; e != nil {
		return e.Entry, true
	}
	return Entry{}, false
}

// Put adds an entry, or replaces the one with the same id. Its cost does not
// depend on the number of entries.
func (x *Index) Put(entry Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(entry.ID)
	if x.entries == nil {
		x.entries = make(map[string]*indexed)
		x.projects = make(map[string]*bucket)
	}
	b := x.projects[entry.ProjectID]
	if b == nil {
		b = &bucket{groups: make(map[string]*group)}
		x.projects[entry.ProjectID] = b
	}
	e := &indexed{Entry: entry}
	x.entries[entry.ID] = e
	b.put(e)
}

// Remove takes out the entry with the id, if there is one.
func (x *Index) Remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

func (x *Index) remove(id string) {
	e := x.entries[id]
	if e == nil {
		return
	}
	delete(x.entries, id)
	b := x.projects[e.ProjectID]
	b.remove(e)
	if len(b.groups) == 0 {
		delete(x.projects, e.ProjectID)
	}
}

// Match calls found for each entry that gets the event, with a nil error, and
// for each whose filter failed on it, with the error. Entries of all projects
// come first, so that a project whose filters use up the event's time takes it
// from itself only; otherwise the order is arbitrary. found may use the index.
// An entry that is changed meanwhile is judged as it was or as it is.
func (x *Index) Match(ev *Event, found func(id string, err error)) {
	for _, e := range x.candidates(ev) {
		switch verdict, err := e.Judge(ev); verdict {
		case Matches:
			found(e.ID, nil)
		case Failed:
			found(e.ID, err)
		}
	}
}

// candidates finds the entries whose indexed condition holds. Decoding is done
// before the lock is taken.
func (x *Index) candidates(ev *Event) []*indexed {
	x.decode(ev)
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []*indexed
	for _, projectID := range []string{webhook.AllProjects, ev.event.ProjectID} {
		if b := x.projects[projectID]; b != nil {
			out = b.candidates(ev, out)
		}
	}
	return out
}

// decode decodes what the indexed conditions look at. An entry that is put
// later may make the walk under the lock decode the rest.
func (x *Index) decode(ev *Event) {
	for _, name := range x.namesFor(ev) {
		_, _ = ev.variable(name) // an error shows again where it counts
	}
}

func (x *Index) namesFor(ev *Event) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var names []string
	for _, projectID := range []string{webhook.AllProjects, ev.event.ProjectID} {
		b := x.projects[projectID]
		if b == nil {
			continue
		}
		for _, g := range b.groupsFor(ev) {
			for name := range g.conditions.children {
				names = append(names, name)
			}
		}
	}
	return names
}

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
	Entry
	places []place
}

// place is where an entry stands in a list.
type place struct {
	list     *list
	position int
}

func (b *bucket) put(e *indexed) {
	keys := groupKeys(e.Events)
	condition := b.choose(keys, e.conditions())
	if len(keys)*max(1, len(condition.Values)) > maxPlaces {
		keys = []string{anyType}
		condition = b.choose(keys, e.conditions())
	}
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

// maxIndexedPath bounds the path of a condition that an entry is indexed by,
// for each name on it costs memory.
const maxIndexedPath = 16

// choose picks the condition to index the entry by: the one whose lists are
// shortest now, so that a value that many entries share is not used where a
// rarer one will do. The zero Condition stands for none.
func (b *bucket) choose(keys []string, conditions []Condition) Condition {
	best, bestLength := Condition{}, -1
	for _, c := range conditions {
		if len(c.Path) > maxIndexedPath || slices.Contains(c.Values, nil) {
			continue // nil also holds for what is absent, which no walk finds
		}
		length := 0
		for _, key := range keys[:min(sample, len(keys))] {
			if g := b.groups[key]; g != nil {
				length = max(length, g.longest(c))
			}
		}
		if bestLength < 0 || length < bestLength {
			best, bestLength = c, length
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

func (b *bucket) candidates(ev *Event, out []*indexed) []*indexed {
	for _, g := range b.groupsFor(ev) {
		out = g.candidates(ev, out)
	}
	return out
}

// groupsFor gives the groups that an event of this type may concern. No entry
// stands in two of them.
func (b *bucket) groupsFor(ev *Event) []*group {
	var out [4]*group
	found := out[:0]
	for _, key := range [...]string{ev.event.Type, ev.noun + ".*", "*", anyType} {
		if key == "*" && ev.noun == Operational {
			continue
		}
		if g := b.groups[key]; g != nil {
			found = append(found, g)
		}
	}
	return found
}

// groupKeys reduces an events list to patterns no two of which mean the same
// event.
func groupKeys(events []string) []string {
	keys := make(map[string]bool, len(events))
	for _, pattern := range events {
		keys[pattern] = true
	}
	for key := range keys {
		noun, _, _ := strings.Cut(key, ".")
		byNoun := noun+".*" != key && keys[noun+".*"]
		byAll := key != "*" && keys["*"] && noun != Operational
		if byNoun || byAll {
			delete(keys, key)
		}
	}
	return slices.Collect(maps.Keys(keys))
}
