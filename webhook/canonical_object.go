package webhook

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
)

// duplicates notes each name that the innermost object, which is about to be
// closed, has more than once.
func (c *canonicalizer) duplicates(members []member) {
	const few = 12 // so many are compared with each other faster than hashed
	if len(members) > few {
		c.hashedDuplicates(members)
		return
	}
	for i := 1; i < len(members); i++ {
		for j := range members[:i] {
			if bytes.Equal(members[i].name, members[j].name) {
				c.duplicate(members[i].name)
				break
			}
		}
	}
}

var nameSeed = maphash.MakeSeed()

// hashedDuplicates is duplicates in linear time: an open hash table of member
// numbers, from 1, zero being free.
func (c *canonicalizer) hashedDuplicates(members []member) {
	size := 32
	for size < 2*len(members) {
		size *= 2
	}
	c.table = slices.Grow(c.table[:0], size)[:size]
	clear(c.table)
next:
	for i := range members {
		at := int(maphash.Bytes(nameSeed, members[i].name)) & (size - 1)
		for c.table[at] != 0 {
			if bytes.Equal(members[c.table[at]-1].name, members[i].name) {
				c.duplicate(members[i].name)
				continue next
			}
			at = (at + 1) & (size - 1)
		}
		c.table[at] = int32(i + 1)
	}
}

func (c *canonicalizer) duplicate(name []byte) {
	if len(c.items) == maxItems {
		c.more = true
		return
	}
	pointer := string(appendPointerToken(c.appendPointer(nil, c.stack[:len(c.stack)-1]), name))
	c.problem(problem.DuplicateMember, "The object has this member more than once.", pointer)
}

// reorder puts the members of an object, which begin at start in out, into the
// order in which JavaScript lists them: array indexes ascending, then all
// others as they came.
func (c *canonicalizer) reorder(start int, members []member) {
	c.order = c.order[:0]
	for i := range members {
		c.order = append(c.order, i)
	}
	rank := func(i int) uint64 { return uint64(members[i].index) } // -1, no index, comes last
	listed := func(a, b int) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) }
	if slices.IsSortedFunc(c.order, listed) {
		return
	}
	slices.SortFunc(c.order, listed)
	c.scratch = c.scratch[:0]
	for n, i := range c.order {
		if n > 0 {
			c.scratch = append(c.scratch, ',')
		}
		c.scratch = append(c.scratch, c.out[members[i].start:members[i].end]...)
	}
	copy(c.out[start:], c.scratch)
}

// maxPointer is how long a pointer may get, in bytes. Names are the sender's
// and may be long; a longer pointer ends at an enclosing value.
const maxPointer = 1024

// appendPointer appends the JSON pointer to what is being read in the innermost
// of the containers, in URI fragment form (RFC 6901 section 6).
func (c *canonicalizer) appendPointer(dst []byte, stack []container) []byte {
	dst = append(dst, '#')
	for i := range stack {
		var token []byte
		switch s := &stack[i]; {
		case s.object && s.n > 0:
			token = c.members[s.first+s.n-1].name
		case !s.object && s.n > 0:
			token = strconv.AppendInt([]byte{'"'}, int64(s.n-1), 10)
			token = append(token, '"')
		default:
			return dst
		}
		longer := appendPointerToken(dst, token)
		if len(longer) == len(dst) {
			return dst
		}
		dst = longer
	}
	return dst
}

// appendPointerToken appends a reference token for a quoted name; nothing when
// the pointer would get too long.
func appendPointerToken(dst, name []byte) []byte {
	if len(name) > maxPointer {
		return dst
	}
	text, _ := jsontext.AppendUnquote(nil, name) // what is no text was noted; it becomes U+FFFD
	longer := problem.AppendPointer(dst, string(text))
	if len(longer) > maxPointer {
		return dst
	}
	return longer
}
