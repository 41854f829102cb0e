package api

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// member is a member of a body: absent, null, or with a value. Null is set, with
// the zero value. The field's tags say what is allowed, to the decoder and
// in the OpenAPI document: required:"false", nullable:"true", enum, and ifempty
// for a text or list that may not be empty though the gateway takes the zero
// value for none.
type member[T any] struct {
	Set   bool // null or with a value
	Null  bool
	Value T
}

// Given says whether the member has a value.
func (m *member[T]) Given() bool { return m.Set && !m.Null }

func (m *member[T]) set(null bool) reflect.Value {
	m.Set, m.Null = true, null
	if null {
		return reflect.Value{}
	}
	return reflect.ValueOf(&m.Value).Elem()
}

// Schema implements huma.SchemaProvider.
func (*member[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = false
	return &s
}

// valued is a value that reads itself.
type valued interface {
	read(d *decoder, raw jsontext.Value, at string)
}

// readOnly is a body that knows members which answers have and requests may
// not: it says what to do instead.
type readOnly interface {
	readOnly(name string) (detail string, ok bool)
}

// decode reads a JSON object into the struct of members that into points to. It
// returns everything that is wrong with it, without repeating any of it. A text
// that is no JSON is an error. preserve is as in webhook.Canonical.
func decode(text []byte, into any, preserve bool) ([]problem.Item, error) {
	d := new(decoder)
	if _, err := webhook.Canonical(text, preserve); err != nil {
		e, ok := errors.AsType[*problem.Error](err)
		if !ok || e.Code != problem.Invalid {
			return nil, err
		}
		d.items = e.Items
	}
	told := len(d.items)
	if jsontext.Value(text).Kind() != '{' {
		d.add(problem.WrongType, "The body must be a JSON object.", "#")
		return d.items, nil
	}
	d.object(text, reflect.ValueOf(into).Elem(), "#")
	return append(d.items[:told:told], notTold(d.items[told:], d.items[:told])...), nil
}

// decoder collects what is wrong with a body.
type decoder struct{ items []problem.Item }

func (d *decoder) add(code problem.Code, detail, at string) {
	d.items = append(d.items, problem.Item{Code: code, Detail: detail, Pointer: at})
}

// members calls each with the members of an object. The text is known to be
// JSON; of what canonical form refuses in it, strings may be unreadable.
func members(raw jsontext.Value, each func(name string, value jsontext.Value)) {
	dec := lenient(raw)
	_, _ = dec.ReadToken() // {
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return
		}
		each(key, value.Clone())
	}
}

// elements calls each with the elements of an array, until it returns false.
func elements(raw jsontext.Value, each func(i int, value jsontext.Value) bool) {
	dec := lenient(raw)
	_, _ = dec.ReadToken() // [
	for i := 0; dec.PeekKind() != ']' && dec.PeekKind() != jsontext.KindInvalid; i++ {
		value, err := dec.ReadValue()
		if err != nil {
			return
		}
		if !each(i, value.Clone()) {
			return
		}
	}
}

func lenient(raw jsontext.Value) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// object reads the members of a body.
func (d *decoder) object(raw jsontext.Value, v reflect.Value, at string) {
	fields := reflect.VisibleFields(v.Type())
	var met []string
	members(raw, func(name string, value jsontext.Value) {
		met = append(met, name)
		i := slices.IndexFunc(fields, func(f reflect.StructField) bool { return !f.Anonymous && f.Tag.Get("json") == name })
		if i < 0 {
			d.unknown(name, v, at)
			return
		}
		d.member(value, v.FieldByIndex(fields[i].Index), fields[i], join(at, name))
	})
	for _, f := range fields {
		name := f.Tag.Get("json")
		if !f.Anonymous && f.Tag.Get("required") != "false" && !slices.Contains(met, name) {
			d.add(problem.Missing, "This member is required.", join(at, name))
		}
	}
}

func (d *decoder) unknown(name string, v reflect.Value, at string) {
	detail := "There is no such member here; names are case-sensitive."
	if body, ok := reflect.TypeAssert[readOnly](v.Addr()); ok {
		if text, known := body.readOnly(name); known {
			detail = text
		}
	}
	d.add(problem.UnknownMember, detail, join(at, name))
}

func (d *decoder) member(raw jsontext.Value, v reflect.Value, f reflect.StructField, at string) {
	m := v.Addr().Interface().(interface{ set(null bool) reflect.Value })
	if raw.Kind() == 'n' {
		if f.Tag.Get("nullable") != "true" {
			detail := "This member cannot be null."
			if hint := f.Tag.Get("ifnull"); hint != "" {
				detail = hint
			}
			d.add(problem.WrongType, detail, at)
			return
		}
		m.set(true)
		return
	}
	target := m.set(false)
	before := len(d.items)
	d.value(raw, target, at)
	if detail := f.Tag.Get("ifempty"); detail != "" && len(d.items) == before && target.Len() == 0 {
		d.add(problem.InvalidValue, detail, at)
		return
	}
	if enum := f.Tag.Get("enum"); enum != "" && len(d.items) == before {
		d.choice(target, strings.Split(enum, ","), at)
	}
}

func (d *decoder) value(raw jsontext.Value, v reflect.Value, at string) {
	if own, ok := reflect.TypeAssert[valued](v.Addr()); ok {
		own.read(d, raw, at)
		return
	}
	switch v.Kind() {
	case reflect.String:
		if text, ok := d.text(raw, at); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if raw.Kind() != 't' && raw.Kind() != 'f' {
			d.add(problem.WrongType, "This must be true or false.", at)
			return
		}
		v.SetBool(raw.Kind() == 't')
	case reflect.Int:
		n, ok := wholeNumber(raw)
		if !ok {
			d.add(problem.WrongType, "This must be a whole number.", at)
			return
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		d.list(raw, v, at)
	default:
		panic("api: no way to decode " + v.Type().String())
	}
}

// maxElements bounds a list. It is far over what any list may have, so that the
// problem of one that is somewhat too long is the one of its limit.
const maxElements = 1000

func (d *decoder) list(raw jsontext.Value, v reflect.Value, at string) {
	if raw.Kind() != '[' {
		d.add(problem.WrongType, "This must be an array.", at)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, 0)
	elements(raw, func(i int, value jsontext.Value) bool {
		if i == maxElements {
			d.add(problem.TooLong, fmt.Sprintf("The array may have at most %d elements.", maxElements), at)
			return false
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, at+"/"+strconv.Itoa(i))
		out = reflect.Append(out, e)
		return true
	})
	v.Set(out)
}

// choice judges a string, or the strings of an array, by a closed list.
func (d *decoder) choice(v reflect.Value, words []string, at string) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			d.choice(v.Index(i), words, at+"/"+strconv.Itoa(i))
		}
		return
	}
	if !slices.Contains(words, v.String()) {
		d.add(problem.InvalidValue, "This must be one of "+strings.Join(words, ", ")+".", at)
	}
}

// text reads a string.
func (d *decoder) text(raw jsontext.Value, at string) (string, bool) {
	if raw.Kind() != '"' {
		d.add(problem.WrongType, "This must be a string.", at)
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil { // only a lone surrogate or bytes that are no UTF-8 can be
		d.add(problem.LoneSurrogate, "The text must be valid Unicode.", at)
		return "", false
	}
	return string(text), true
}

// join returns the pointer to a member of what at points to.
func join(at, name string) string {
	return string(problem.AppendPointer([]byte(at), name))
}

// notTold returns those of the items that are about something that no item of
// told is about. Clients can make many of both.
func notTold(items, told []problem.Item) []problem.Item {
	parameters, pointers := make(map[string]bool), make(map[string]bool)
	for _, it := range told {
		if it.Parameter != "" {
			parameters[it.Parameter] = true
		} else if it.Pointer != "" {
			pointers[it.Pointer] = true
		}
	}
	var rest []problem.Item
	for _, it := range items {
		if !parameters[it.Parameter] && !within(pointers, it.Pointer) {
			rest = append(rest, it)
		}
	}
	return rest
}

// within says whether what a pointer points to is in something that one of the
// pointers does.
func within(pointers map[string]bool, pointer string) bool {
	if pointers["#"] || pointers[pointer] {
		return true
	}
	for i, c := range []byte(pointer) {
		if c == '/' && pointers[pointer[:i]] {
			return true
		}
	}
	return false
}
