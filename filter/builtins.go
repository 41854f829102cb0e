package filter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/webhook"
)

func length(b *budget, args []any) (any, error) {
	switch value := args[0].(type) {
	case string:
		if err := b.read(len(value)); err != nil {
			return nil, err
		}
		return utf8.RuneCountInString(value), nil
	case []any:
		return len(value), nil
	case map[string]any:
		return len(value), nil
	}
	return nil, fmt.Errorf("len needs a string, an array or an object, found %s", typeName(args[0]))
}

// changeCase makes a function from string to string whose result may be three
// times as long.
func changeCase(name string, change func(string) string) func(*budget, []any) (any, error) {
	return func(b *budget, args []any) (any, error) {
		s, ok := args[0].(string)
		if !ok {
			return nil, fmt.Errorf("%s needs a string, found %s", name, typeName(args[0]))
		}
		if err := b.write(3 * len(s)); err != nil {
			return nil, err
		}
		return change(s), nil
	}
}

func trim(b *budget, args []any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("trim needs a string, found %s", typeName(args[0]))
	}
	if err := b.read(len(s)); err != nil {
		return nil, err
	}
	if len(args) == 1 {
		return strings.TrimSpace(s), nil
	}
	cutset, ok := args[1].(string)
	if !ok || len(cutset) > maxParsed {
		return nil, fmt.Errorf("the second argument of trim must be a string of at most %d bytes", maxParsed)
	}
	if err := b.charge(len(s) * len(cutset) / 64); err != nil {
		return nil, err
	}
	return strings.Trim(s, cutset), nil
}

func toInt(_ *budget, args []any) (any, error) {
	switch value := args[0].(type) {
	case int:
		return value, nil
	case float64:
		whole := math.Trunc(value)
		if math.Abs(whole) >= 1<<63 || whole != whole {
			return nil, fmt.Errorf("int: the number is too large")
		}
		return int(whole), nil
	case string:
		if len(value) <= maxParsed {
			if n, err := strconv.Atoi(value); err == nil {
				return n, nil
			}
		}
		return nil, fmt.Errorf("int: the string is not a whole number")
	}
	return nil, fmt.Errorf("int needs a number or a string, found %s", typeName(args[0]))
}

func toFloat(_ *budget, args []any) (any, error) {
	if n, ok := number(args[0]); ok {
		return n, nil
	}
	value, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("float needs a number or a string, found %s", typeName(args[0]))
	}
	if len(value) <= maxParsed {
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("float: the string is not a number")
}

func toString(_ *budget, args []any) (any, error) {
	switch value := args[0].(type) {
	case string:
		return value, nil
	case nil, map[string]any, []any:
		return nil, fmt.Errorf("string needs a number, a boolean, a date or a string, found %s", typeName(value))
	default:
		return fmt.Sprint(value), nil
	}
}

// dateLayouts are the forms that date understands by itself.
var dateLayouts = []string{
	time.RFC3339, time.DateOnly, time.DateTime, time.TimeOnly, time.RFC822, time.RFC850, time.RFC1123,
}

// date reads a text by the usual layouts, or by a given layout, or by that in
// a time zone.
func date(b *budget, args []any) (any, error) {
	if t, ok := args[0].(time.Time); ok && len(args) == 1 {
		return t, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("date needs a string, found %s", typeName(args[0]))
	}
	if err := b.charge(2); err != nil {
		return nil, err
	}
	layouts, zone := dateLayouts, time.UTC
	if len(args) > 1 {
		layout, ok := args[1].(string)
		if !ok || len(layout) > maxParsed {
			return nil, fmt.Errorf("the layout of date must be a string of at most %d bytes", maxParsed)
		}
		layouts = []string{layout}
	}
	if len(args) > 2 {
		zone = args[2].(*time.Location)
	}
	if len(text) <= maxParsed {
		for _, layout := range layouts {
			if t, err := time.ParseInLocation(layout, text, zone); err == nil {
				return t, nil
			}
		}
		if len(args) == 1 { // created_at may have a lower-case t and z
			if t, ok := webhook.ParseTime(text); ok {
				return t, nil
			}
		}
	}
	return nil, fmt.Errorf("date: the string is not a date")
}

func duration(_ *budget, args []any) (any, error) {
	switch value := args[0].(type) {
	case time.Duration:
		return value, nil
	case string:
		if len(value) <= maxParsed {
			if d, err := time.ParseDuration(value); err == nil {
				return d, nil
			}
		}
		return nil, fmt.Errorf("duration: the string is not a duration like 90s or 24h")
	}
	return nil, fmt.Errorf("duration needs a string, found %s", typeName(args[0]))
}
