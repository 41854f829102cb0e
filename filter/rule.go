package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Rule is what one subscription asks of an event: its map form and its
// expression, both must match. The nil Rule matches every event. A Rule is
// immutable and safe for concurrent use.
type Rule struct {
	conditions []Condition
	program    Program // nil when the conditions say everything
}

// Compile makes the rule of a subscription from its two forms, of which each
// may be empty. A nil engine is Expr. The error, if any, is Errors: all
// problems at once, those of the map in the order of its paths.
func Compile(engine Engine, names Names, filters map[string]json.RawMessage, text string) (*Rule, error) {
	rule := &Rule{}
	var problems Errors
	rule.conditions, problems = compileMap(names, filters)
	if text != "" {
		if err := rule.addProgram(engine, names, text); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return rule, nil
}

func (r *Rule) addProgram(engine Engine, names Names, text string) (problem *Error) {
	defer func() {
		if recover() != nil {
			problem = tooComplex()
		}
	}()
	if engine == nil {
		engine = Expr
	}
	if problem := checkLength(text); problem != nil {
		return problem
	}
	program, err := engine.Compile(text, names)
	if err != nil {
		if errors.As(err, &problem) {
			return problem
		}
		return &Error{Detail: shorten(err.Error())}
	}
	r.program = program
	if p, ok := program.(Indexable); ok {
		conditions, whole := p.Conditions()
		r.conditions = append(r.conditions, conditions...)
		if whole {
			r.program = nil
		}
	}
	return nil
}

// Match says whether the event passes. The error is an *Error: the filter
// failed on this event, which is then not delivered.
func (r *Rule) Match(ev *Event) (bool, error) { return r.match(ev, true) }

// match is Match. own says whether the rule belongs to the event's project and
// so takes from its time.
func (r *Rule) match(ev *Event, own bool) (bool, error) {
	if r == nil {
		return true, nil
	}
	if ok, err := holds(r.conditions, ev); !ok || err != nil {
		return false, err
	}
	if r.program == nil {
		return true, nil
	}
	return run(r.program, ev, own)
}

// without gives the rule less the condition at the position (none if it is
// negative), or nil if nothing is left.
func (r *Rule) without(position int) *Rule {
	if r == nil || position < 0 && len(r.conditions) > 0 {
		return r
	}
	left := &Rule{program: r.program}
	if position >= 0 {
		left.conditions = slices.Concat(r.conditions[:position], r.conditions[position+1:])
	}
	if left.program == nil && len(left.conditions) == 0 {
		return nil
	}
	return left
}

// run evaluates a program within the time of the event and, if it is the
// project's own, of the project. Guest programs may panic; that is their error.
func run(p Program, ev *Event, own bool) (matched bool, err error) {
	start := time.Now()
	if err := ev.timeLeft(start, own); err != nil {
		return false, &Error{Detail: err.Error(), Err: err}
	}
	defer func() {
		ev.spend(time.Since(start), own)
		if recover() != nil {
			matched, err = false, &Error{Detail: "the filter failed on this event"}
		}
	}()
	matched, err = p.Match(ev)
	if err == nil {
		return matched, nil
	}
	if problem, ok := errors.AsType[*Error](err); ok {
		return false, problem
	}
	return false, &Error{Detail: shorten(err.Error()), Err: err}
}

// compileMap reads the map form.
func compileMap(names Names, filters map[string]json.RawMessage) ([]Condition, Errors) {
	var problems Errors
	if len(filters) > MaxEntries {
		return nil, Errors{{Map: true, Detail: fmt.Sprintf("there are more than %d entries", MaxEntries)}}
	}
	total := 0
	paths := make([]string, 0, len(filters))
	for path, value := range filters {
		total += len(path) + len(value)
		paths = append(paths, path)
	}
	if total > MaxMapSize {
		return nil, Errors{{Map: true, Detail: fmt.Sprintf("the entries are larger than %d bytes together", MaxMapSize)}}
	}
	slices.Sort(paths)
	conditions := make([]Condition, 0, len(paths))
	for _, path := range paths {
		condition, detail := compileEntry(names, path, filters[path])
		if detail != "" {
			problems = append(problems, &Error{Map: true, Path: path, Detail: detail})
			continue
		}
		conditions = append(conditions, condition)
	}
	return conditions, problems
}

func compileEntry(names Names, path string, value json.RawMessage) (c Condition, problem string) {
	if !utf8.ValidString(path) {
		return c, "the path is not valid UTF-8"
	}
	words := strings.Split(path, ".")
	if slices.Contains(words, "") {
		return c, "the path must be names joined by single dots, such as project.name"
	}
	if len(words) > MaxPath {
		return c, fmt.Sprintf("the path has more than %d names", MaxPath)
	}
	if !names.Has(words[0]) {
		return c, "the path must begin with one of " + strings.Join(names.List(), ", ")
	}
	values, problem := compileValues(value)
	return Condition{Path: words, Values: values}, problem
}

// compileValues reads a scalar or a non-empty array of scalars.
func compileValues(text json.RawMessage) (values []any, problem string) {
	if !jsontext.Value(text).IsValid() {
		return nil, "the value is not valid JSON"
	}
	decoded, err := decode(text)
	if err != nil {
		return nil, "the value is not valid JSON"
	}
	list, isList := decoded.([]any)
	if !isList {
		list = []any{decoded}
	}
	if len(list) == 0 {
		return nil, "the list of values must not be empty"
	}
	if len(list) > MaxValues {
		return nil, "there are more than " + strconv.Itoa(MaxValues) + " values"
	}
	for _, value := range list {
		switch value := value.(type) {
		case map[string]any, []any:
			return nil, "the value must be a string, a number, a boolean, null, or a list of these"
		case float64:
			if math.IsInf(value, 0) {
				return nil, "the number is too large"
			}
		}
		if !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values, ""
}
