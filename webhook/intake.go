package webhook

import (
	"bytes"
	"strconv"

	"github.com/tengineai/webhook-gateway/problem"
)

// Limits of what is taken in (contract sections 2 and 4), in bytes and events.
const (
	DefaultMaxSize      = 256 << 10 // one event
	DefaultMaxBatch     = 1000      // the events of a batch
	DefaultMaxBatchSize = 4 << 20   // the body of a batch

	// MaxEventSize is what no setting raises the size of an event above.
	MaxEventSize = 512 << 10
)

// Intake reads what producers send and judges it by the rules in force. It
// judges all that needs no memory of other events; whether an id was used, or a
// project may be published for, is for others to say.
//
// Its errors are *problem.Error: TooLarge, BadRequest (not JSON), Invalid (with
// every problem of the event), in this order of judgement. An Intake in use
// must not be changed; it is then safe for concurrent use. The bodies it is
// given are not changed or kept.
type Intake struct {
	// Catalogue holds the types that may be published. Nil: Builtin.
	Catalogue *Catalogue

	// DefaultProject is the project of events that name none. Empty: such
	// events are refused.
	DefaultProject string

	// MaxSize limits one event, as it came and in its canonical form, in
	// bytes. What the gateway fills in does not count. Zero: DefaultMaxSize.
	// At most MaxEventSize, which nothing that is stored of an event exceeds:
	// the body with all that is filled in, the project context beside it.
	MaxSize int

	// MaxBatch and MaxBatchSize limit a batch in events and in bytes. Zero:
	// DefaultMaxBatch, DefaultMaxBatchSize.
	MaxBatch     int
	MaxBatchSize int

	// Preserve keeps integers and numbers that a double cannot hold and lone
	// surrogates as they came, instead of refusing them (unsafe_json preserve).
	Preserve bool
}

// Item is one event of a batch: the Input if Err is nil, else why it was
// refused. The Input of a refused event has its ID and ProjectID, each if that
// much is sound, and nothing else.
type Item struct {
	Input
	Err *problem.Error
}

// IsArray reports whether a JSON body is a batch: whether its first character
// other than white space opens an array.
func IsArray(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && body[0] == '['
}

// One reads a body that is one event. With an error the Input is that of a
// refused Item.
func (in *Intake) One(body []byte) (Input, error) {
	return in.one(body, (*reading).envelope)
}

// Array reads a body that is a JSON array of events. The error is about the
// whole body: TooLarge, BadRequest, or Invalid when it is no array.
func (in *Intake) Array(body []byte) ([]Item, error) {
	return in.array(body, (*reading).envelope)
}

// Lines reads a body of newline-delimited JSON, an event per line. Lines with
// nothing but white space are skipped. The error is about the whole body: TooLarge, or BadRequest with
// the line. The problems of an Item carry its line as well.
func (in *Intake) Lines(body []byte) ([]Item, error) {
	if len(body) > in.maxBatchSize() {
		return nil, in.batchTooLarge()
	}
	var items []Item
	offset := 0
	for number := 1; offset < len(body); number++ {
		line, _, _ := bytes.Cut(body[offset:], []byte("\n"))
		if text := bytes.Trim(line, lineSpace); len(text) > 0 {
			if len(items) == in.maxBatch() {
				return nil, in.batchTooLong()
			}
			at := offset + bytes.Index(line, text)
			item, err := in.line(text)
			if err != nil {
				return nil, locate(err, number, at)
			}
			items = append(items, Item{item.Input, locate(item.Err, number, at)})
		}
		offset += len(line) + 1
	}
	return items, nil
}

// lineSpace is the white space of JSON that can stand in a line. It belongs to
// no event: a line may end with a carriage return.
const lineSpace = " \t\r"

// line reads one event of Lines. The error is for what is not JSON.
func (in *Intake) line(line []byte) (Item, *problem.Error) {
	c := newCanonicalizer(line, in.Preserve)
	defer c.release()
	if err := c.document(1); err != nil {
		return Item{}, problem.From(err)
	}
	input, e := in.judge(c, len(line), (*reading).envelope)
	return Item{input, e}, nil
}

// locate adds a line to the items of e, which may be nil, and makes their
// offsets those of the whole body.
func locate(e *problem.Error, line, offset int) *problem.Error {
	if e == nil {
		return nil
	}
	for i := range e.Items {
		e.Items[i].Line = line
		if at := e.Items[i].Offset; at != nil {
			*at += int64(offset)
		}
	}
	return e
}

// reader judges the members of one event and fills the reading's Input.
type reader func(*reading)

// one reads a body that is one event of the given form.
func (in *Intake) one(body []byte, read reader) (Input, error) {
	if len(body) > in.maxSize() {
		return Input{}, in.eventTooLarge()
	}
	c := newCanonicalizer(body, in.Preserve)
	defer c.release()
	if err := c.document(1); err != nil {
		return Input{}, err
	}
	input, e := in.judge(c, len(body), read)
	if e != nil {
		return input, e
	}
	return input, nil
}

// array reads a body that is an array of events of the given form.
func (in *Intake) array(body []byte, read reader) ([]Item, error) {
	if len(body) > in.maxBatchSize() {
		return nil, in.batchTooLarge()
	}
	c := newCanonicalizer(body, in.Preserve)
	defer c.release()
	if err := c.byteOrderMark(); err != nil {
		return nil, err
	}
	if c.dec.PeekKind() != '[' {
		if err := c.document(1); err != nil {
			return nil, err
		}
		return nil, problem.New(problem.Invalid, "A batch is a JSON array of events.",
			problem.Item{Code: problem.WrongType, Detail: "A batch is a JSON array of events.", Pointer: "#"})
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return nil, c.syntax(err)
	}
	var items []Item
	for c.dec.PeekKind() != ']' {
		if len(items) == in.maxBatch() {
			return nil, in.batchTooLong()
		}
		before := c.dec.InputOffset()
		if err := c.value(1); err != nil {
			return nil, err
		}
		event := bytes.TrimLeft(body[before:c.dec.InputOffset()], ", \t\r\n")
		input, e := in.judge(c, len(event), read)
		items = append(items, Item{input, e})
	}
	if _, err := c.dec.ReadToken(); err != nil {
		return nil, c.syntax(err)
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	return items, nil
}

// judge turns the value that c has read, from so many bytes, into an Input.
func (in *Intake) judge(c *canonicalizer, size int, read reader) (Input, *problem.Error) {
	r := reading{in: in, c: c}
	switch {
	case c.kind != '{':
		r.problem(problem.WrongType, "An event is a JSON object.", "#")
	case c.drained: // what is left to be judged is whose it is
		items, more := c.items, c.more
		read(&r)
		c.items, c.more = items, more
	default:
		read(&r)
	}
	return r.finish(size)
}

// finish returns what was read, from so many bytes, or why it is refused.
func (r *reading) finish(size int) (Input, *problem.Error) {
	if size > r.in.maxSize() {
		return r.refused(), r.in.eventTooLarge()
	}
	if e := r.c.asProblem(); e != nil {
		return r.refused(), e
	}
	if len(r.c.out)-r.c.start > r.in.maxSize() || r.input.size() > MaxEventSize {
		return r.refused(), r.in.eventTooLarge()
	}
	return r.input, nil
}

// refused returns what is known of a refused event: see Item.
func (r *reading) refused() Input {
	known := Input{ID: r.input.ID}
	if !r.projectUnsure {
		known.ProjectID = r.input.ProjectID
	}
	return known
}

func (in *Intake) catalogue() *Catalogue {
	if in.Catalogue == nil {
		return builtin
	}
	return in.Catalogue
}

func (in *Intake) maxSize() int {
	if in.MaxSize <= 0 {
		return DefaultMaxSize
	}
	return min(in.MaxSize, MaxEventSize)
}

func (in *Intake) maxBatch() int {
	if in.MaxBatch <= 0 {
		return DefaultMaxBatch
	}
	return in.MaxBatch
}

func (in *Intake) maxBatchSize() int {
	if in.MaxBatchSize <= 0 {
		return DefaultMaxBatchSize
	}
	return in.MaxBatchSize
}

func (in *Intake) eventTooLarge() *problem.Error {
	return problem.New(problem.TooLarge, "An event, as it came and in its canonical form, may have at most "+strconv.Itoa(in.maxSize())+" bytes.")
}

func (in *Intake) batchTooLarge() *problem.Error {
	return problem.New(problem.TooLarge, "A batch may have at most "+strconv.Itoa(in.maxBatchSize())+" bytes.")
}

func (in *Intake) batchTooLong() *problem.Error {
	return problem.New(problem.TooLarge, "A batch may have at most "+strconv.Itoa(in.maxBatch())+" events.")
}
