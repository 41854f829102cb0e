package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// EventType is an entry of the catalogue.
type EventType struct {
	Type        string          `json:"type"`
	Description string          `json:"description"`
	Sample      json.RawMessage `json:"sample"` // canonical "data" of such an event
}

// Catalogue says which event types there are. It is immutable: its methods
// that change something return another one. The zero value knows no type.
type Catalogue struct {
	types  []EventType
	byName map[string]int // index in types
	any    bool
}

var builtin = newCatalogue(builtinTypes)

// Builtin returns the catalogue of contract section 1: eleven types of
// projects, API keys, integrations and usage.
func Builtin() *Catalogue { return builtin }

// Extend returns c with further types at its end. Types that c has already stay
// as they are. A type that is not well-formed, or operational, is an error.
func (c *Catalogue) Extend(types ...string) (*Catalogue, error) {
	list := slices.Clone(c.types)
	for _, name := range types {
		t, err := c.entry(name)
		if err != nil {
			return nil, fmt.Errorf("extend event types: %w", err)
		}
		if !slices.ContainsFunc(list, func(have EventType) bool { return have.Type == name }) {
			list = append(list, t)
		}
	}
	next := newCatalogue(list)
	next.any = c.any
	return next, nil
}

// Replace returns a catalogue of the given types only, in their order. Types
// that c has too keep their description and sample. A type that is not
// well-formed, or operational, is an error.
func (c *Catalogue) Replace(types ...string) (*Catalogue, error) {
	var list []EventType
	for _, name := range types {
		t, err := c.entry(name)
		if err != nil {
			return nil, fmt.Errorf("replace event types: %w", err)
		}
		if !slices.ContainsFunc(list, func(have EventType) bool { return have.Type == name }) {
			list = append(list, t)
		}
	}
	return newCatalogue(list), nil
}

// Any returns a catalogue that lists what c lists and knows every well-formed
// type that is not operational.
func (c *Catalogue) Any() *Catalogue {
	next := newCatalogue(c.types)
	next.any = true
	return next
}

// Knows reports whether an event of the type may be published. Operational
// types may not, whatever the catalogue: the gateway publishes them itself.
func (c *Catalogue) Knows(name string) bool {
	if _, ok := c.byName[name]; ok {
		return true
	}
	return c.any && ValidEventType(name) && !IsOperational(name)
}

// Types lists the catalogue in its order: as built in, then as configured. The
// caller may change the list, but not the samples.
func (c *Catalogue) Types() []EventType { return slices.Clone(c.types) }

// Lookup returns the entry of a type that c knows, or of an operational type.
// Types that c knows without listing them have a plain sample.
func (c *Catalogue) Lookup(name string) (EventType, bool) {
	if i, ok := c.byName[name]; ok {
		return c.types[i], true
	}
	if t, ok := operationalType(name); ok {
		return t, true
	}
	if c.Knows(name) {
		return plainType(name), true
	}
	return EventType{}, false
}

// OperationalTypes lists the types that the gateway itself publishes (contract
// section 3). They are in no catalogue, and "*" does not mean them: webhooks get
// them only by name or "webhook.*". Other types of that noun, which a catalogue may
// have, are like any other.
func OperationalTypes() []EventType { return slices.Clone(operationalTypes) }

// IsOperational reports whether name is one of OperationalTypes.
func IsOperational(name string) bool {
	_, ok := operationalType(name)
	return ok
}

func operationalType(name string) (EventType, bool) {
	for i := range operationalTypes {
		if operationalTypes[i].Type == name {
			return operationalTypes[i], true
		}
	}
	return EventType{}, false
}

func newCatalogue(types []EventType) *Catalogue {
	c := &Catalogue{types: types, byName: make(map[string]int, len(types))}
	for i := range types {
		c.byName[types[i].Type] = i
	}
	return c
}

// entry returns the entry that name has or gets.
func (c *Catalogue) entry(name string) (EventType, error) {
	if i, ok := c.byName[name]; ok {
		return c.types[i], nil
	}
	if !ValidEventType(name) {
		return EventType{}, fmt.Errorf("event type %q: want lower-case words joined by dots, like order.paid, at most 128 bytes", name)
	}
	if IsOperational(name) {
		return EventType{}, fmt.Errorf("event type %q: reserved for the gateway's own events", name)
	}
	return plainType(name), nil
}

// plainType makes the entry of a type that only has a name.
func plainType(name string) EventType {
	noun := name[:strings.IndexByte(name, '.')]
	return EventType{
		Type:        name,
		Description: "Declared in the configuration.",
		Sample:      json.RawMessage(`{"id":"` + noun + `_123"}`),
	}
}

// known returns the catalogue's own copy of a type, so that the many events of
// one type share it, and whether the type may be published.
func (c *Catalogue) known(name []byte) (string, bool) {
	if i, ok := c.byName[string(name)]; ok {
		return c.types[i].Type, true
	}
	s := string(name)
	return s, c.Knows(s)
}
