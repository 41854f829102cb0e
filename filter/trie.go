package filter

import "math"

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

// search walks the trie and the event's value together. It looks at no more
// members than either has.
func (n *node) search(value any, s *search) {
	object, ok := value.(map[string]any)
	if !ok {
		if key, ok := scalarOf(value); ok {
			s.add(n.values[key])
		}
		return
	}
	if len(n.children) <= len(object) {
		for name, child := range n.children {
			if member, ok := object[name]; ok {
				child.search(member, s)
			}
		}
		return
	}
	for name, member := range object {
		if child := n.children[name]; child != nil {
			child.search(member, s)
		}
	}
}

// addAll adds every entry at the node and below.
func (n *node) addAll(s *search) {
	for _, l := range n.values {
		s.add(l)
	}
	for _, child := range n.children {
		child.addAll(s)
	}
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
