package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Paging are the query parameters of every list.
type Paging struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"What next_cursor of the part before gave; none for the first part."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most."`
}

func (p Paging) page() gateway.Page { return gateway.Page{Cursor: p.Cursor, Limit: p.Limit} }

// list is a part of a list (contract section 3).
type list[T any] struct {
	Data       []T     `json:"data" nullable:"false" doc:"The items of this part."`
	NextCursor *string `json:"next_cursor" doc:"The cursor of the next part; null at the end."`
}

func newList[T any](data []T, next string) list[T] {
	if data == nil {
		data = []T{}
	}
	return list[T]{data, textOrNull(next)}
}

// checkQuery returns all that is wrong with a query, judged by what the
// operation documents: huma binds only what has passed. A query that cannot be
// read at all is an error.
func checkQuery(query string, params []*huma.Param) ([]problem.Item, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, problem.New(problem.BadRequest, "The query of the URL is malformed: parameters are joined by &, special characters written as %XX.")
	}
	known := make(map[string]*huma.Param)
	for _, p := range params {
		if p.In == "query" {
			known[p.Name] = p
		}
	}
	var items []problem.Item
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, ok := known[name]
		if !ok {
			items = append(items, problem.Item{Code: problem.UnknownParam, Detail: "There is no such query parameter here; names are case-sensitive.", Parameter: clip(name)})
			continue
		}
		if len(values[name]) > 1 {
			items = append(items, problem.Item{Code: problem.InvalidValue, Detail: "Give this parameter once.", Parameter: name})
			continue
		}
		if detail := checkParameter(values[name][0], p.Schema); detail != "" {
			items = append(items, problem.Item{Code: problem.InvalidValue, Detail: detail, Parameter: name})
		}
	}
	return items, nil
}

// clip keeps the name of a parameter that somebody made up short.
func clip(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if utf8.RuneCountInString(name) > 64 {
		return string([]rune(name)[:64]) + "…"
	}
	return name
}

// checkParameter says what is wrong with a value, nothing if it is sound.
func checkParameter(text string, s *huma.Schema) string {
	switch {
	case s.Type == huma.TypeInteger:
		n, err := strconv.Atoi(text)
		if err != nil || float64(n) < *s.Minimum || float64(n) > *s.Maximum || strconv.Itoa(n) != text {
			return fmt.Sprintf("This must be a whole number from %.0f to %.0f.", *s.Minimum, *s.Maximum)
		}
	case len(s.Enum) > 0:
		if !slices.Contains(s.Enum, any(text)) {
			return "This must be one of " + enumerate(s.Enum) + "."
		}
	case s.Format == "date-time":
		if _, ok := parseTime(text); !ok {
			return "This must be a time of RFC 3339 such as 2024-01-01T00:00:00Z (in a URL, + is written as %2B)."
		}
	case !utf8.ValidString(text):
		return "This must be valid UTF-8."
	case s.MinLength != nil && len(text) < *s.MinLength:
		return "This may not be empty. Leave it out instead."
	case s.MaxLength != nil && len(text) > *s.MaxLength:
		return fmt.Sprintf("This may have at most %d characters.", *s.MaxLength)
	}
	return ""
}

// parseTime reads an RFC 3339 time. One that has no such form in UTC, which is
// how times are answered and stored, is none.
func parseTime(text string) (time.Time, bool) {
	t, ok := webhook.ParseTime(text)
	year := t.UTC().Year()
	return t, ok && year >= 0 && year <= 9999
}

func enumerate(values []any) string {
	words := make([]string, 0, len(values))
	for _, v := range values {
		if v != nil {
			words = append(words, fmt.Sprint(v))
		}
	}
	return strings.Join(words, ", ")
}
