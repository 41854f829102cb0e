package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with a filter, in a sentence that tells its author
// what to do. It is returned by Compile for a filter that cannot be accepted
// and by Match for one that failed on an event.
type Error struct {
	// Detail is the sentence. It never quotes values of the map form, nor
	// literals of an expression; a failed evaluation may quote a little of the
	// event.
	Detail string

	// Line and Column are the place in the expression, both from 1, the column
	// in characters. Zero where there is no place, always so in the map form.
	Line, Column int

	// Path is the entry of the map form that is wrong; empty for the
	// expression and for the map as a whole.
	Path string

	// Map is true when the error is about the map form.
	Map bool

	// Err is the cause: ErrBudget, ErrEventTime, or nil.
	Err error
}

// Error gives the sentence with its place.
func (e *Error) Error() string {
	switch {
	case e.Map && e.Path != "":
		return fmt.Sprintf("filters %q: %s", e.Path, e.Detail)
	case e.Map:
		return "filters: " + e.Detail
	case e.Line > 0:
		return fmt.Sprintf("filter line %d, column %d: %s", e.Line, e.Column, e.Detail)
	}
	return "filter: " + e.Detail
}

// Unwrap gives the cause, if it has a name.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the problems that Compile found at once, never empty.
type Errors []*Error

// Error joins the problems with semicolons.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives each problem to errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// shorten cuts a text at maxErrorText bytes, between characters, and replaces
// what is no UTF-8.
func shorten(text string) string {
	if len(text) > maxErrorText {
		cut := maxErrorText
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
