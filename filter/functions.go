package filter

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// functions are what rewrite puts into programs. Each takes the budget first.
// The function type tells expr's checker what goes in and out.
var functions = conf.FunctionsTable{}

func init() {
	define("__result", func(*budget, any) bool { return false }, result)
	define("__list", func(*budget, any) []any { return nil }, newList)
	define("__object", func(*budget, any) map[string]any { return nil }, newObject)
	define("__array", func(*budget, any) []any { return nil }, array)
	define("__predicate", func(*budget, any) bool { return false }, predicate)
	define("__get", func(*budget, any, any) any { return nil }, get)
	define("__equal", func(*budget, any, any) bool { return false }, equalArgs)
	define("__in", func(*budget, any, any) bool { return false }, in)
	define("__matches", func(*budget, string, *pattern) bool { return false }, matches)
	define("__contains", func(*budget, any, any) bool { return false }, onStrings("contains", strings.Contains))
	define("__startsWith", func(*budget, any, any) bool { return false }, onStrings("startsWith", strings.HasPrefix))
	define("__endsWith", func(*budget, any, any) bool { return false }, onStrings("endsWith", strings.HasSuffix))
	define("__less", func(*budget, any, any) bool { return false }, compare(runtime.Less))
	define("__more", func(*budget, any, any) bool { return false }, compare(runtime.More))
	define("__lessOrEqual", func(*budget, any, any) bool { return false }, compare(runtime.LessOrEqual))
	define("__moreOrEqual", func(*budget, any, any) bool { return false }, compare(runtime.MoreOrEqual))
	define("__add", func(*budget, any, any) any { return nil }, add)
	define("__mod", func(*budget, any, any) int { return 0 }, mod)
	define("__len", func(*budget, any) int { return 0 }, length)
	define("__lower", func(*budget, any) string { return "" }, changeCase("lower", strings.ToLower))
	define("__upper", func(*budget, any) string { return "" }, changeCase("upper", strings.ToUpper))
	define("__trim", func(*budget, any, ...any) string { return "" }, trim)
	define("__int", func(*budget, any) int { return 0 }, toInt)
	define("__float", func(*budget, any) float64 { return 0 }, toFloat)
	define("__string", func(*budget, any) string { return "" }, toString)
	define("__date", func(*budget, any, ...any) time.Time { return time.Time{} }, date)
	define("__duration", func(*budget, any) time.Duration { return 0 }, duration)
}

func define(name string, signature any, run func(*budget, []any) (any, error)) {
	functions[name] = &builtin.Function{
		Name:  name,
		Types: []reflect.Type{reflect.TypeOf(signature)},
		Func: func(args ...any) (any, error) {
			return run(args[0].(*budget), args[1:])
		},
	}
}

// result checks the value of the whole expression: nil does not match.
func result(_ *budget, args []any) (any, error) {
	switch value := args[0].(type) {
	case bool:
		return value, nil
	case nil:
		return false, nil
	default:
		return nil, fmt.Errorf("the filter must give a boolean, found %s", typeName(value))
	}
}

// newList charges for the array that a literal made.
func newList(b *budget, args []any) (any, error) {
	return args[0], b.charge(1 + len(args[0].([]any))/4)
}

// newObject charges for the object that a literal made; an object takes some
// 300 bytes before its first member.
func newObject(b *budget, args []any) (any, error) {
	return args[0], b.charge(5 + 2*len(args[0].(map[string]any)))
}

// array checks the first argument of a builtin that takes a predicate.
func array(_ *budget, args []any) (any, error) {
	if elements, ok := args[0].([]any); ok {
		return elements, nil
	}
	return nil, fmt.Errorf("an array is needed here, found %s", typeName(args[0]))
}

// predicate is the step of a loop: it counts, and checks what the predicate
// gave for one element.
func predicate(b *budget, args []any) (any, error) {
	if err := b.charge(1); err != nil {
		return nil, err
	}
	value, ok := args[0].(bool)
	if !ok {
		return nil, fmt.Errorf("a predicate must give a boolean, found %s", typeName(args[0]))
	}
	return value, nil
}

// get finds a member of an object or an element of an array; nil where there
// is none.
func get(_ *budget, args []any) (any, error) {
	switch base := args[0].(type) {
	case map[string]any:
		if name, ok := args[1].(string); ok {
			return base[name], nil
		}
	case []any:
		if index, ok := wholeNumber(args[1]); ok {
			if index < 0 {
				index += len(base)
			}
			if index >= 0 && index < len(base) {
				return base[index], nil
			}
		}
	}
	return nil, nil
}

func equalArgs(b *budget, args []any) (any, error) { return equal(b, args[0], args[1]) }

// equal compares by content and without coercion. Numbers are compared as
// doubles.
func equal(b *budget, x, y any) (bool, error) {
	switch x := x.(type) {
	case nil:
		return y == nil, nil
	case bool:
		other, ok := y.(bool)
		return ok && x == other, nil
	case string:
		other, ok := y.(string)
		if !ok || len(x) != len(other) {
			return false, nil
		}
		return x == other, b.charge(len(x) / 256)
	case float64, int:
		other, ok := number(y)
		mine, _ := number(x)
		return ok && mine == other, nil
	case time.Time:
		other, ok := y.(time.Time)
		return ok && x.Equal(other), nil
	case time.Duration:
		other, ok := y.(time.Duration)
		return ok && x == other, nil
	case []any:
		other, ok := y.([]any)
		if !ok {
			return false, nil
		}
		return equalArrays(b, x, other)
	case map[string]any:
		other, ok := y.(map[string]any)
		if !ok {
			return false, nil
		}
		return equalObjects(b, x, other)
	}
	return false, nil
}

func equalArrays(b *budget, x, y []any) (bool, error) {
	if len(x) != len(y) {
		return false, nil
	}
	if err := b.charge(1 + len(x)/8); err != nil {
		return false, err
	}
	for i := range x {
		if same, err := equal(b, x[i], y[i]); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func equalObjects(b *budget, x, y map[string]any) (bool, error) {
	if len(x) != len(y) {
		return false, nil
	}
	if err := b.charge(1 + len(x)/2); err != nil {
		return false, err
	}
	for name, mine := range x {
		other, ok := y[name]
		if !ok {
			return false, nil
		}
		if same, err := equal(b, mine, other); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func in(b *budget, args []any) (any, error) {
	switch collection := args[1].(type) {
	case nil:
		return false, nil
	case map[string]any:
		name, ok := args[0].(string)
		if !ok {
			return false, nil
		}
		_, ok = collection[name]
		return ok, nil
	case []any:
		if err := b.charge(len(collection) / 8); err != nil {
			return nil, err
		}
		for _, element := range collection {
			if same, err := equal(b, element, args[0]); same || err != nil {
				return same, err
			}
		}
		return false, nil
	}
	return nil, fmt.Errorf("the right side of in must be an array or an object, found %s", typeName(args[1]))
}

func matches(b *budget, args []any) (any, error) {
	if args[0] == nil {
		return false, nil
	}
	subject, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("matches needs a string, found %s", typeName(args[0]))
	}
	if len(subject) > MaxSubject {
		return nil, fmt.Errorf("matches takes strings of at most %d bytes, found %d", MaxSubject, len(subject))
	}
	p := args[1].(*pattern)
	if err := b.charge(1 + p.instructions*len(subject)/20); err != nil {
		return nil, err
	}
	return p.re.MatchString(subject), nil
}

// onStrings makes an operator of two strings that is false where one of them
// is nil.
func onStrings(name string, test func(s, part string) bool) func(*budget, []any) (any, error) {
	return func(b *budget, args []any) (any, error) {
		if args[0] == nil || args[1] == nil {
			return false, nil
		}
		s, ok1 := args[0].(string)
		part, ok2 := args[1].(string)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%s needs two strings, found %s and %s", name, typeName(args[0]), typeName(args[1]))
		}
		if err := b.read(len(s)); err != nil {
			return nil, err
		}
		return test(s, part), nil
	}
}

// compare makes an ordering operator.
func compare(test func(a, b any) bool) func(*budget, []any) (any, error) {
	return func(b *budget, args []any) (any, error) {
		if s, ok := args[0].(string); ok {
			if err := b.charge(len(s) / 256); err != nil {
				return nil, err
			}
		}
		return test(args[0], args[1]), nil
	}
}

func add(b *budget, args []any) (any, error) {
	left, ok1 := args[0].(string)
	right, ok2 := args[1].(string)
	if !ok1 || !ok2 {
		return runtime.Add(args[0], args[1]), nil
	}
	n := len(left) + len(right)
	if n > MaxConcat {
		return nil, fmt.Errorf("+ makes strings of at most %d bytes", MaxConcat)
	}
	if err := b.write(n); err != nil {
		return nil, err
	}
	return left + right, nil
}

func mod(_ *budget, args []any) (any, error) {
	left, ok1 := wholeNumber(args[0])
	right, ok2 := wholeNumber(args[1])
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%% needs two whole numbers, found %s and %s", typeName(args[0]), typeName(args[1]))
	}
	if right == 0 {
		return nil, fmt.Errorf("%% by zero")
	}
	return left % right, nil
}

func number(value any) (float64, bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case int:
		return float64(value), true
	}
	return 0, false
}

// wholeNumber gives a number as an int where it is one.
func wholeNumber(value any) (int, bool) {
	switch value := value.(type) {
	case int:
		return value, true
	case float64:
		if value == math.Trunc(value) && math.Abs(value) <= 1<<53 {
			return int(value), true
		}
	}
	return 0, false
}

// typeName names the type of a value as JSON does.
func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "nil"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case float64, int:
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case time.Time:
		return "a date"
	case time.Duration:
		return "a duration"
	}
	return "something else"
}
