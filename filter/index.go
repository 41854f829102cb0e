package filter

import (
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
//
// A limit of the project's time (Event.Limit) holds here too.
func (e Entry) Judge(ev *Event) (Verdict, error) {
	if !webhook.IsFor(e.ProjectID, ev.event.ProjectID) {
		return OtherProject, nil
	}
	if !MatchesEvents(e.Events, ev.event.Type) {
		return NotSubscribed, nil
	}
	matched, err := e.Rule.match(ev, e.ProjectID != webhook.AllProjects)
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
	search := x.search(ev)
	for _, e := range search.found {
		switch verdict, err := e.judge(ev, search.unreadable); verdict {
		case Matches:
			found(e.ID, nil)
		case Failed:
			found(e.ID, err)
		default: // it does not concern this webhook
		}
	}
}

// search is the walk of one event through the index.
type search struct {
	ev *Event

	// found are the entries where the event led.
	found []*indexed

	// unreadable is true if the event could not be decoded: found has every
	// entry that would have looked at it then.
	unreadable bool
}

// search finds the entries whose place in the index the event leads to.
// Decoding is done before the lock is taken; an entry that is put in between
// may make the walk decode the rest.
func (x *Index) search(ev *Event) *search {
	for _, name := range x.namesFor(ev) {
		_, _ = ev.variable(name) // an error shows again in the walk
	}
	s := &search{ev: ev}
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.eachGroup(ev, func(g *group) { g.search(s) })
	return s
}

func (x *Index) namesFor(ev *Event) []string {
	var names []string
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.eachGroup(ev, func(g *group) {
		for name := range g.conditions.children {
			names = append(names, name)
		}
	})
	return names
}

// eachGroup visits the groups that may concern the event, those for all
// projects first. No entry stands in two of them.
func (x *Index) eachGroup(ev *Event, visit func(*group)) {
	for _, projectID := range [...]string{webhook.AllProjects, ev.event.ProjectID} {
		b := x.projects[projectID]
		if b == nil {
			continue
		}
		for _, key := range [...]string{ev.event.Type, ev.noun + ".*", "*", anyType} {
			if key == "*" && webhook.IsOperational(ev.event.Type) {
				continue
			}
			if g := b.groups[key]; g != nil {
				visit(g)
			}
		}
	}
}
