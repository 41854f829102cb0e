package filter

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

// search adds the entries that the event leads to.
func (g *group) search(s *search) {
	s.add(g.free)
	for name, child := range g.conditions.children {
		value, err := s.ev.variable(name)
		if err != nil {
			s.unreadable = true
			child.addAll(s)
			continue
		}
		child.search(value, s)
	}
}

func (s *search) add(l *list) {
	if l == nil {
		return
	}
	for _, slot := range l.slots {
		s.found = append(s.found, slot.entry)
	}
}
