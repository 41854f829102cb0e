package dashboard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/problem"
)

// fault is something that is wrong with a field of a form.
type fault struct {
	Field string // the id of the field; empty: of none
	Text  string
}

type faults []fault

// newFaults finds the fields that problems are about.
func newFaults(items []problem.Item) faults {
	var all faults
	for _, it := range items {
		field, name := splitPointer(it.Pointer)
		f := fault{Field: field, Text: it.Detail}
		if name != "" && (field == "headers" || field == "filters") {
			f.Text = visibleText(name) + ": " + f.Text
		}
		if it.Line > 0 {
			f.Text = fmt.Sprintf("Line %d, column %d: %s", it.Line, it.Column, f.Text)
		}
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// of returns what is wrong with a field.
func (fs faults) of(field string) string {
	var texts []string
	for _, f := range fs {
		if f.Field == field {
			texts = append(texts, f.Text)
		}
	}
	return strings.Join(texts, " ")
}

// splitPointer returns the first two names of a pointer, empty where there are
// none.
func splitPointer(pointer string) (field, name string) {
	names := append(problem.PointerNames(pointer), "", "")
	return names[0], names[1]
}
