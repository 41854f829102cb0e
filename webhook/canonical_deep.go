package webhook

import "bytes"

// decoderDepth is the nesting that jsontext gives up at.
const decoderDepth = 10_000

// nestsBeyond reports whether src could nest deeper than levels.
func nestsBeyond(src []byte, levels int) bool {
	return len(src) > levels && bytes.Count(src, []byte{'['})+bytes.Count(src, []byte{'{'}) > levels
}

// tooDeep reports whether the container that is peeked at nests too deep, with
// so many containers open within the value. Where a name is due it does not
// matter: a container there is no JSON, which the decoder says.
func (c *canonicalizer) tooDeep(open int) bool {
	return c.level+open > MaxDepth && !c.nameDue()
}

// nameDue reports whether the decoder is where a member begins.
func (c *canonicalizer) nameDue() bool {
	kind, n := c.dec.StackIndex(c.dec.StackDepth())
	return kind == '{' && n%2 == 0
}

// skip reads the container that is peeked at without looking at it.
func (c *canonicalizer) skip() error {
	if c.copied {
		if err := c.hollow(); err != nil {
			return err
		}
	}
	if err := c.dec.SkipValue(); err != nil {
		return c.syntax(err)
	}
	return nil
}

// hollow makes the container that is peeked at an empty one of the same length:
// the decoder could give up within it.
func (c *canonicalizer) hollow() error {
	at := int(c.dec.InputOffset())
	at += bytes.IndexAny(c.src[at:], "[{") // behind white space, and a delimiter that was checked
	s := grammar{src: c.src, at: at}
	if !s.container() {
		if s.at == len(s.src) {
			return endsEarly(s.at)
		}
		return notJSON(int64(s.at))
	}
	for i := at + 1; i < s.at-1; i++ {
		c.src[i] = ' '
	}
	return nil
}

// grammar checks that text is JSON, however deep it nests. It says nothing of
// what a decoder takes with AllowDuplicateNames and AllowInvalidUTF8.
type grammar struct {
	src  []byte
	at   int
	open []byte // the brackets of the open containers
}

// container reads the object or array that begins at the offset. If it is no
// JSON, the offset is then where it ceases to be.
func (g *grammar) container() bool {
	g.push()
	empty := true // the innermost container, so far
	for len(g.open) > 0 {
		bracket := g.open[len(g.open)-1]
		if g.space(); g.take(bracket + 2) { // in ASCII each closes the one two before it
			g.open, empty = g.open[:len(g.open)-1], false
			continue
		}
		if !empty && !g.take(',') {
			return false
		}
		if g.space(); bracket == '{' && !g.name() {
			return false
		}
		if b := g.peek(); b == '{' || b == '[' {
			g.push()
			empty = true
			continue
		}
		if !g.scalar() {
			return false
		}
		empty = false
	}
	return true
}

func (g *grammar) push() {
	g.open = append(g.open, g.src[g.at])
	g.at++
}

// peek returns the next byte; zero, which no JSON begins with, at the end.
func (g *grammar) peek() byte {
	if g.at == len(g.src) {
		return 0
	}
	return g.src[g.at]
}

// take goes past the next byte if it is b.
func (g *grammar) take(b byte) bool {
	if g.peek() != b {
		return false
	}
	g.at++
	return true
}

func (g *grammar) space() {
	for g.take(' ') || g.take('\n') || g.take('\t') || g.take('\r') {
	}
}

// name reads the name of a member and what stands before its value.
func (g *grammar) name() bool {
	if !g.text() {
		return false
	}
	if g.space(); !g.take(':') {
		return false
	}
	g.space()
	return true
}

func (g *grammar) scalar() bool {
	switch g.peek() {
	case '"':
		return g.text()
	case 't':
		return g.word("true")
	case 'f':
		return g.word("false")
	case 'n':
		return g.word("null")
	default:
		return g.number()
	}
}

func (g *grammar) word(word string) bool {
	for i := range len(word) {
		if !g.take(word[i]) {
			return false
		}
	}
	return true
}

func (g *grammar) text() bool {
	if !g.take('"') {
		return false
	}
	for {
		switch b := g.peek(); {
		case b == '"':
			g.at++
			return true
		case b < ' ':
			return false
		case b != '\\':
			g.at++
		case !g.escape():
			return false
		}
	}
}

func (g *grammar) escape() bool {
	g.at++
	switch g.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		g.at++
		return true
	case 'u':
		g.at++
		for range 4 {
			if b := g.peek(); (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'f') {
				return false
			}
			g.at++
		}
		return true
	}
	return false
}

func (g *grammar) number() bool {
	g.take('-')
	if !g.take('0') && !g.digits() {
		return false
	}
	if g.take('.') && !g.digits() {
		return false
	}
	if g.take('e') || g.take('E') {
		_ = g.take('+') || g.take('-')
		return g.digits()
	}
	return true
}

// digits reads one or more.
func (g *grammar) digits() bool {
	start := g.at
	for b := g.peek(); b >= '0' && b <= '9'; b = g.peek() {
		g.at++
	}
	return g.at > start
}
