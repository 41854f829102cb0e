package api

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// duration is a duration as Caddy writes and reads it: "90s", "2d".
type duration time.Duration

const durationHint = `This must be a duration such as "90s", "5m" or "2d".`

func (v *duration) read(d *decoder, raw jsontext.Value, at string) {
	if raw.Kind() != '"' {
		d.add(problem.WrongType, durationHint, at)
		return
	}
	text, ok := d.text(raw, at)
	if !ok {
		return
	}
	parsed, err := webhook.ParseDuration(text)
	if err != nil {
		d.add(problem.InvalidValue, durationHint, at)
		return
	}
	*v = duration(parsed)
}

// Schema implements huma.SchemaProvider.
func (*duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "A duration such as 90s, 5m or 2d.", Examples: []any{"90s"}}
}

// timeout is a duration that overrides a setting, so that zero, which would
// mean that the setting stands, is none.
type timeout duration

func (v *timeout) read(d *decoder, raw jsontext.Value, at string) {
	before := len(d.items)
	(*duration)(v).read(d, raw, at)
	if len(d.items) == before && *v == 0 {
		d.add(problem.InvalidValue, gateway.TimeoutRule, at)
	}
}

// Schema implements huma.SchemaProvider.
func (*timeout) Schema(r huma.Registry) *huma.Schema { return new(duration).Schema(r) }

// concurrency is a number of attempts in flight. Zero is none: see timeout.
type concurrency int

func (v *concurrency) read(d *decoder, raw jsontext.Value, at string) {
	n, ok := wholeNumber(raw)
	switch {
	case raw.Kind() != '0':
		d.add(problem.WrongType, "This must be a whole number.", at)
	case !ok || n < 1 || n > gateway.MaxConcurrency:
		d.add(problem.InvalidValue, gateway.ConcurrencyRule, at)
	default:
		*v = concurrency(n)
	}
}

// wholeNumber reads an integer as JSON Schema has it: 5, and 5.0 or 5e0 as well.
func wholeNumber(raw jsontext.Value) (int, bool) {
	f, err := webhook.ParseNumber(raw)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int(f), true
}

// Schema implements huma.SchemaProvider.
func (*concurrency) Schema(huma.Registry) *huma.Schema {
	least, most := 1.0, float64(gateway.MaxConcurrency)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
}

// rate is a rate limit: "50/s".
type rate webhook.Rate

func (v *rate) read(d *decoder, raw jsontext.Value, at string) {
	text, ok := d.text(raw, at)
	if !ok {
		return
	}
	parsed, err := webhook.ParseRate(text)
	if err != nil {
		d.add(problem.InvalidValue, gateway.RateRule, at)
		return
	}
	*v = rate(parsed)
}

// Schema implements huma.SchemaProvider.
func (*rate) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^([1-9][0-9]{0,5}|1000000)/[smh]$", Examples: []any{"50/s"}}
}

// moment is an RFC 3339 time.
type moment time.Time

func (v *moment) read(d *decoder, raw jsontext.Value, at string) {
	text, ok := d.text(raw, at)
	if !ok {
		return
	}
	t, ok := parseTime(text)
	if !ok {
		d.add(problem.InvalidValue, "This must be a time of RFC 3339 such as 2024-01-01T00:00:00Z.", at)
		return
	}
	if t.IsZero() {
		t = t.Add(1) // the year 1 is a time, too
	}
	*v = moment(t)
}

// Schema implements huma.SchemaProvider.
func (*moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// headers are HTTP headers as an object of names and values, in order.
type headers []webhook.Header

func (v *headers) read(d *decoder, raw jsontext.Value, at string) {
	if raw.Kind() != '{' {
		d.add(problem.WrongType, "This must be an object of header names and values.", at)
		return
	}
	*v = headers{}
	members(raw, func(name string, value jsontext.Value) {
		if text, ok := d.text(value, join(at, name)); ok {
			*v = append(*v, webhook.Header{Name: name, Value: text})
		}
	})
}

// MarshalJSONTo writes the object. Values of one name are joined by ", ".
func (v headers) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i, h := range v {
		if v.index(h.Name) < i {
			continue
		}
		values := []string{h.Value}
		for _, further := range v[i+1:] {
			if strings.EqualFold(further.Name, h.Name) {
				values = append(values, further.Value)
			}
		}
		if err := enc.WriteToken(jsontext.String(validText(h.Name))); err != nil {
			return err
		}
		if err := enc.WriteToken(jsontext.String(validText(strings.Join(values, ", ")))); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

func (v headers) index(name string) int {
	for i := range v {
		if strings.EqualFold(v[i].Name, name) {
			return i
		}
	}
	return -1
}

// Schema implements huma.SchemaProvider.
func (*headers) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}}
}

// filters is the map form of a filter; package filter judges what is in it.
type filters map[string]json.RawMessage

func (v *filters) read(d *decoder, raw jsontext.Value, at string) {
	if raw.Kind() != '{' {
		d.add(problem.WrongType, "This must be an object of paths and values.", at)
		return
	}
	*v = make(filters)
	members(raw, func(name string, value jsontext.Value) { (*v)[name] = json.RawMessage(value) })
}

// Schema implements huma.SchemaProvider.
func (*filters) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type:                 huma.TypeObject,
		Description:          "Dotted path to a value, or to a list of values of which any may be: string, number, boolean or null.",
		AdditionalProperties: &huma.Schema{},
	}
}

// object is any JSON object, judged by somebody else.
type object json.RawMessage

func (v *object) read(d *decoder, raw jsontext.Value, at string) {
	if raw.Kind() != '{' {
		d.add(problem.WrongType, "This must be an object.", at)
		return
	}
	*v = object(raw)
}

// MarshalJSONTo writes the object.
func (v object) MarshalJSONTo(enc *jsontext.Encoder) error { return enc.WriteValue(jsontext.Value(v)) }

// Schema implements huma.SchemaProvider.
func (*object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// validText replaces what is no UTF-8: receivers answer with any bytes.
func validText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	text = validText(text)
	return &text
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
