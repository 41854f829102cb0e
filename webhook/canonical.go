package webhook

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
)

const (
	// MaxDepth is how deep an event may nest, the event itself being level 1
	// (contract section 2).
	MaxDepth = 64

	// MaxMembers is how many members the objects within an event may have
	// together. The members of the event itself (type, data, ...) do not count.
	MaxMembers = 10_000

	// maxItems is how many problems of one event are listed. The rest of the
	// event is still read, so that text that is no JSON is told as such.
	maxItems = 20
)

// Canonical returns src, one JSON value that takes the place of an event's
// "data", in canonical form: byte for byte what JSON.stringify(JSON.parse(src))
// prints in Node (contract section 1). The result is its own canonical form.
//
// What JavaScript would change is refused: integers a double cannot hold,
// numbers that overflow, lone surrogates, duplicate members, invalid UTF-8.
// With preserve, such integers, numbers and surrogates are kept as they came.
//
// The error is a *problem.Error: BadRequest when src is not JSON, Invalid with
// every problem that was found otherwise. src is not changed, and the result
// does not share its memory.
func Canonical(src []byte, preserve bool) ([]byte, error) {
	c := newCanonicalizer(src, preserve)
	defer c.release()
	if err := c.document(2); err != nil {
		return nil, err
	}
	if err := c.refusal(); err != nil {
		return nil, err
	}
	return c.out, nil
}

// canonicalizer reads JSON values from src and appends their canonical form to
// out, in one pass and without recursion. The grammar is jsontext's; what
// JavaScript would print, and what it would change, is judged here.
//
// A problem does not end the pass: a duplicate member must not hide a syntax
// error behind it, and all problems are told at once.
type canonicalizer struct {
	dec      *jsontext.Decoder
	in       bytes.Buffer // what dec reads: src, not copied
	src      []byte
	copied   bool // whether src is a copy, of which dec sees each change: see hollow
	preserve bool

	// out is never pooled: what was read from it stays valid.
	out []byte

	level   int         // the level of the value being read, the event being 1
	stack   []container // open objects and arrays of that value
	members []member    // of all open objects; of the value itself also once it is read
	counted int         // members so far that MaxMembers is about
	items   []problem.Item
	more    bool // whether there were more problems than maxItems

	start   int           // the offset of the value in out
	kind    jsontext.Kind // the kind of the value
	rootID  []byte        // the value, an object: see container.stringID
	drained bool          // whether the value was given up on: see drain
	order   []int         // scratch of reorder
	scratch []byte        // scratch of reorder
	table   []int32       // scratch of duplicates
}

// container is an open object or array.
type container struct {
	object   bool
	named    bool   // object: a name was read, its value is due
	indexed  bool   // object: some name is an array index
	n        int    // members or elements begun
	first    int    // object: its first member in canonicalizer.members
	start    int    // the offset of its bracket in out
	stringID []byte // object: the string of its member "id" as it stands in src, quotes included
}

// member is a member of an object.
type member struct {
	name  []byte // canonical, quotes included; for comparison, see foldSurrogates
	index int64  // the array index the name is, or -1
	start int    // the offset of the name in out
	value int    // the offset of the value in out
	end   int    // the offset after the value in out

	kind     jsontext.Kind // the kind of the value
	n        int           // an object: how many members it has
	stringID []byte        // an object: see container
}

var canonicalizers = sync.Pool{New: func() any {
	return &canonicalizer{dec: jsontext.NewDecoder(new(bytes.Buffer))}
}}

func newCanonicalizer(src []byte, preserve bool) *canonicalizer {
	c := canonicalizers.Get().(*canonicalizer)
	c.src, c.preserve = src, preserve
	if c.copied = nestsBeyond(src, decoderDepth-1); c.copied {
		c.src = bytes.Clone(src)
	}
	c.in = *bytes.NewBuffer(c.src)
	// Both are judged here: jsontext would stop at the first one.
	c.dec.Reset(&c.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	c.out = make([]byte, 0, len(src))
	return c
}

// release returns c to the pool. Slices of c.out stay valid.
func (c *canonicalizer) release() {
	if cap(c.members) > 256 || cap(c.scratch) > 64<<10 {
		return // the rare large one is left to the garbage collector
	}
	clear(c.members[:cap(c.members)])
	clear(c.stack[:cap(c.stack)])
	c.in = bytes.Buffer{}
	c.dec.Reset(&c.in)
	c.src, c.out, c.items, c.rootID = nil, nil, nil, nil
	canonicalizers.Put(c)
}

// document reads the one value that src holds.
func (c *canonicalizer) document(level int) error {
	if err := c.byteOrderMark(); err != nil {
		return err
	}
	if err := c.value(level); err != nil {
		return err
	}
	return c.end()
}

// byteOrderMark refuses a byte order mark at the start of src.
func (c *canonicalizer) byteOrderMark() error {
	if bytes.HasPrefix(c.src, []byte("\xEF\xBB\xBF")) {
		return malformed("The text begins with a byte order mark; send UTF-8 without one.", 0)
	}
	return nil
}

// end refuses anything but white space behind the last value.
func (c *canonicalizer) end() error {
	at := c.dec.InputOffset()
	rest := bytes.TrimLeft(c.src[at:], " \t\r\n")
	if len(rest) == 0 {
		return nil
	}
	return malformed("There is more text after the end of the JSON value.", int64(len(c.src)-len(rest)))
}

// value reads the next value and appends its canonical form to out. Its
// problems are added to items; the error, always BadRequest, is only for what
// is not JSON. The members of the value, if it is an object, are then in
// c.members.
func (c *canonicalizer) value(level int) error {
	c.level, c.counted, c.drained, c.rootID = level, 0, false, nil
	c.stack, c.members = c.stack[:0], c.members[:0]
	c.items, c.more = nil, false
	c.start = len(c.out)
	outer := c.dec.StackDepth()
	c.kind = c.dec.PeekKind()
	for {
		kind := c.dec.PeekKind()
		switch kind {
		case '"', '0', 't', 'f', 'n':
			raw, err := c.dec.ReadValue()
			if err != nil {
				return c.syntax(err)
			}
			if top := c.top(); top != nil && top.object && !top.named {
				if done, err := c.name(top, raw, outer); done || err != nil {
					return err
				}
				continue
			}
			c.scalar(kind, raw)
		case '{', '[':
			if opened, err := c.enter(kind); err != nil {
				return err
			} else if opened {
				continue
			}
		case '}', ']':
			if _, err := c.dec.ReadToken(); err != nil {
				return c.syntax(err)
			}
			c.close()
		default:
			_, err := c.dec.ReadToken()
			return c.syntax(err)
		}
		if c.after() {
			return nil
		}
	}
}

// name takes the name of a member that begins. done says that the value was
// read to its end, because it has too many.
func (c *canonicalizer) name(top *container, raw []byte, outer int) (done bool, err error) {
	c.beginMember(top, raw)
	if !c.crowded(top) {
		return false, nil
	}
	return c.drain(outer)
}

// scalar appends a value that is neither object nor array.
func (c *canonicalizer) scalar(kind jsontext.Kind, raw []byte) {
	c.before(kind)
	switch kind {
	case '"':
		c.noteID(raw)
		c.appendString(raw)
	case '0':
		c.appendNumber(raw)
	default:
		c.out = append(c.out, raw...)
	}
}

// enter opens an object or array, or skips one that nests too deep or belongs to
// a value that was given up on.
func (c *canonicalizer) enter(kind jsontext.Kind) (opened bool, err error) {
	deep := c.tooDeep(len(c.stack))
	if deep || c.drained && !c.nameDue() {
		c.before(kind)
		if deep {
			c.refuse(problem.TooDeep, "The event nests deeper than 64 levels.")
		}
		return false, c.skip()
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return false, c.syntax(err)
	}
	c.before(kind)
	c.open(kind)
	return true, nil
}

// top returns the innermost open container, or nil.
func (c *canonicalizer) top() *container {
	if len(c.stack) == 0 {
		return nil
	}
	return &c.stack[len(c.stack)-1]
}

// before notes that a value of the given kind begins.
func (c *canonicalizer) before(kind jsontext.Kind) {
	top := c.top()
	switch {
	case top == nil:
	case top.object:
		m := &c.members[len(c.members)-1]
		m.kind, m.value = kind, len(c.out)
	default:
		if top.n > 0 {
			c.out = append(c.out, ',')
		}
		top.n++
	}
}

// noteID keeps the string raw if it is the member "id" of an object that can be
// an event's data or project.
func (c *canonicalizer) noteID(raw []byte) {
	depth := len(c.stack)
	if c.level+depth != 3 || !c.stack[depth-1].object || string(c.members[len(c.members)-1].name) != `"id"` {
		return
	}
	c.stack[depth-1].stringID = raw
}

// after notes that a value is complete and reports whether it was the one that
// was asked for.
func (c *canonicalizer) after() bool {
	top := c.top()
	if top == nil {
		return true
	}
	if top.object {
		top.named = false
		c.members[len(c.members)-1].end = len(c.out)
	}
	return false
}

func (c *canonicalizer) open(kind jsontext.Kind) {
	c.stack = append(c.stack, container{
		object: kind == '{',
		first:  len(c.members),
		start:  len(c.out),
	})
	c.out = append(c.out, byte(kind))
}

// close ends the innermost container. Its members are forgotten, except those
// of the value that was asked for.
func (c *canonicalizer) close() {
	top := c.top()
	if !top.object {
		c.out = append(c.out, ']')
		c.stack = c.stack[:len(c.stack)-1]
		return
	}
	members := c.members[top.first:]
	c.duplicates(members)
	if top.indexed && c.level+len(c.stack) > 2 { // an event's own members are looked up where they stand
		c.reorder(top.start+1, members)
	}
	c.out = append(c.out, '}')
	switch len(c.stack) {
	case 1:
		c.rootID = top.stringID
	case 2:
		c.members = c.members[:top.first]
		if c.stack[0].object {
			m := &c.members[len(c.members)-1]
			m.n, m.stringID = top.n, top.stringID
		}
	default:
		c.members = c.members[:top.first]
	}
	c.stack = c.stack[:len(c.stack)-1]
}

// crowded reports whether there are too many members, and says so once.
func (c *canonicalizer) crowded(top *container) bool {
	if c.level+len(c.stack) > 2 {
		c.counted++
	}
	if c.drained { // only members of the event itself are left
		return top.n > MaxMembers
	}
	if c.counted <= MaxMembers && top.n <= MaxMembers {
		return false
	}
	c.problem(problem.TooManyMembers, "The event has more than 10000 members.", "#")
	return true
}

// drain gives the value up: it is refused already, but it may still turn out
// not to be JSON. Of an event it reads to the end of the member that has too
// many within it; the event's other members are then read on, for its id and
// project, but not looked into. Of other values it reads to the end, and is done.
func (c *canonicalizer) drain(outer int) (done bool, err error) {
	keep := 0 // open containers
	if c.level == 1 && c.stack[0].object && len(c.stack) > 1 {
		keep = 1
	}
	c.drained = true
	for open := c.dec.StackDepth() - outer; open > keep; open = c.dec.StackDepth() - outer {
		if kind := c.dec.PeekKind(); (kind == '{' || kind == '[') && c.tooDeep(open) {
			if err := c.skip(); err != nil {
				return true, err
			}
			continue
		}
		if _, err := c.dec.ReadToken(); err != nil {
			return true, c.syntax(err)
		}
	}
	if keep == 0 {
		c.stack, c.members = c.stack[:0], c.members[:0]
		return true, nil
	}
	c.stack, c.members = c.stack[:1], c.members[:c.stack[0].n]
	return c.after(), nil
}

// refuse adds an item about the value, or the member's name, that is being
// read. It does no work for those that are not listed any more: a hostile event
// can have very many.
func (c *canonicalizer) refuse(code problem.Code, detail string) {
	if len(c.items) == maxItems {
		c.more = true
		return
	}
	c.problem(code, detail, string(c.appendPointer(nil, c.stack)))
}

// problem adds an item.
func (c *canonicalizer) problem(code problem.Code, detail, pointer string) {
	if len(c.items) == maxItems {
		c.more = true
		return
	}
	c.items = append(c.items, problem.Item{Code: code, Detail: detail, Pointer: pointer})
}

// refusal returns the items as one error, or nil when there are none.
func (c *canonicalizer) refusal() error {
	if e := c.asProblem(); e != nil {
		return e
	}
	return nil
}

// asProblem is refusal with the type of the error.
func (c *canonicalizer) asProblem() *problem.Error {
	if len(c.items) == 0 {
		return nil
	}
	detail := "The event breaks the rules named in errors."
	if c.more {
		detail = "The event breaks more rules than errors can hold; it names the first ones."
	}
	return problem.New(problem.Invalid, detail, c.items...)
}

// syntax turns an error of the decoder into one for the sender.
func (c *canonicalizer) syntax(err error) error {
	at := int64(len(c.src))
	if se, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = min(se.ByteOffset, at)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return endsEarly(len(c.src))
	}
	return notJSON(at)
}

func endsEarly(offset int) *problem.Error {
	return malformed("The text ends before the JSON value does.", int64(offset))
}

func notJSON(offset int64) *problem.Error {
	return malformed("The text is not JSON from this offset on.", offset)
}

func malformed(detail string, offset int64) *problem.Error {
	return problem.New(problem.BadRequest, "The request body is not JSON.",
		problem.Item{Code: problem.MalformedJSON, Detail: detail, Offset: &offset})
}
