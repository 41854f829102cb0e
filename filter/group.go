package filter

import "math"

// group holds the entries of one project and one events pattern.
type group struct {
	key        string
	free       *list // entries that no condition indexes
	conditions node  // the others, by path and value
}

func newGroup(key string) *group {
	g := &group{key: key}
	g.free = &list{group: g}
	return g
}

func (g *group) empty() bool {
	return g.free.empty() && len(g.conditions.children) == 0
}

// listsFor gives the lists an entry with the condition belongs to, one for
// each value.
func (g *group) listsFor(c Condition) []*list {
	if len(c.Path) == 0 {
		return []*list{g.free}
	}
	n := &g.conditions
	for _, name := range c.Path {
		n = n.child(name)
	}
	lists := make([]*list, len(c.Values))
	for i, value := range c.Values {
		s, _ := scalarOf(value)
		lists[i] = n.list(s, g)
	}
	return lists
}

// sample bounds how many values and events patterns of one entry are looked at
// to choose its condition, so that no entry makes Put slow.
const sample = 8

// longest gives the length of the longest list for the condition, judged by
// its first values.
func (g *group) longest(c Condition) int {
	n := &g.conditions
	for _, name := range c.Path {
		if n = n.children[name]; n == nil {
			return 0
		}
	}
	length := 0
	for _, value := range c.Values[:min(sample, len(c.Values))] {
		s, _ := scalarOf(value)
		if l := n.values[s]; l != nil {
			length = max(length, len(l.slots))
		}
	}
	return length
}

func (g *group) candidates(ev *Event, out []*indexed) []*indexed {
	out = g.free.appendTo(out)
	for name, child := range g.conditions.children {
		value, err := ev.variable(name)
		if err != nil {
			// What cannot be read concerns every entry that would look at it:
			// each records the error.
			out = child.all(out)
			continue
		}
		out = child.candidates(value, out)
	}
	return out
}

// node is a place in a trie of paths: a member name below its parent.
type node struct {
	parent   *node
	name     string
	children map[string]*node
	values   map[scalar]*list
}

func (n *node) child(name string) *node {
	child := n.children[name]
	if child == nil {
		if n.children == nil {
			n.children = make(map[string]*node)
		}
		child = &node{parent: n, name: name}
		n.children[name] = child
	}
	return child
}

func (n *node) list(value scalar, g *group) *list {
	l := n.values[value]
	if l == nil {
		if n.values == nil {
			n.values = make(map[scalar]*list)
		}
		l = &list{group: g, node: n, value: value}
		n.values[value] = l
	}
	return l
}

// dropValue forgets a value, and the node and its parents as far as they are
// empty then.
func (n *node) dropValue(value scalar) {
	delete(n.values, value)
	for n.parent != nil && len(n.values) == 0 && len(n.children) == 0 {
		delete(n.parent.children, n.name)
		n = n.parent
	}
}

// candidates walks the trie and the event's value together. It looks at no
// more members than either has.
func (n *node) candidates(value any, out []*indexed) []*indexed {
	object, ok := value.(map[string]any)
	if !ok {
		if s, ok := scalarOf(value); ok {
			out = n.values[s].appendTo(out)
		}
		return out
	}
	if len(n.children) <= len(object) {
		for name, child := range n.children {
			if member, ok := object[name]; ok {
				out = child.candidates(member, out)
			}
		}
		return out
	}
	for name, member := range object {
		if child := n.children[name]; child != nil {
			out = child.candidates(member, out)
		}
	}
	return out
}

// all gives every entry at the node and below.
func (n *node) all(out []*indexed) []*indexed {
	for _, l := range n.values {
		out = l.appendTo(out)
	}
	for _, child := range n.children {
		out = child.all(out)
	}
	return out
}

// scalar is a JSON scalar other than null as a map key.
type scalar struct {
	kind   byte // 's', 'n' or 'b'
	number uint64
	text   string
}

func scalarOf(value any) (scalar, bool) {
	switch value := value.(type) {
	case string:
		return scalar{kind: 's', text: value}, true
	case float64:
		return scalar{kind: 'n', number: math.Float64bits(value + 0)}, true // -0 + 0 is 0
	case bool:
		if value {
			return scalar{kind: 'b', number: 1}, true
		}
		return scalar{kind: 'b'}, true
	}
	return scalar{}, false
}

// list is a set of entries in which each knows its position.
type list struct {
	group *group
	node  *node // nil for the list of free entries
	value scalar
	slots []slot
}

// slot is an entry of a list and which of the entry's places it is.
type slot struct {
	entry *indexed
	place int
}

func (l *list) empty() bool { return len(l.slots) == 0 }

func (l *list) add(e *indexed) {
	e.places = append(e.places, place{list: l, position: len(l.slots)})
	l.slots = append(l.slots, slot{entry: e, place: len(e.places) - 1})
}

// remove fills the gap at the position with the last entry.
func (l *list) remove(position int) {
	last := len(l.slots) - 1
	moved := l.slots[last]
	l.slots[position] = moved
	moved.entry.places[moved.place].position = position
	l.slots[last] = slot{}
	l.slots = l.slots[:last]
}

func (l *list) appendTo(out []*indexed) []*indexed {
	if l == nil {
		return out
	}
	for _, s := range l.slots {
		out = append(out, s.entry)
	}
	return out
}
