package filter

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Expr is the built-in engine: expr-lang.org within the limits of this
// package. Webhooks with the same text share one program for as long as one of
// them lives.
var Expr Engine = &exprEngine{programs: make(map[programKey]weak.Pointer[exprProgram])}

// exprEngine finds programs in use by their text. It keeps none alive itself:
// a bounded cache would either be too small for a hundred thousand webhooks or
// let whoever tries out filters fill it.
type exprEngine struct {
	mu       sync.Mutex
	programs map[programKey]weak.Pointer[exprProgram]
}

type programKey struct{ names, text string }

// Compile implements Engine.
func (e *exprEngine) Compile(text string, names Names) (Program, error) {
	key := programKey{names.key, text}
	if p := e.find(key); p != nil {
		return p, nil
	}
	p, err := compileExpr(text, names)
	if err != nil {
		return nil, err
	}
	return e.keep(key, p), nil
}

func (e *exprEngine) find(key programKey) *exprProgram {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.programs[key].Value()
}

// keep makes a program known, unless another was faster: that one is used.
func (e *exprEngine) keep(key programKey, p *exprProgram) *exprProgram {
	e.mu.Lock()
	defer e.mu.Unlock()
	if first := e.programs[key].Value(); first != nil {
		return first
	}
	e.programs[key] = weak.Make(p)
	runtime.AddCleanup(p, e.forget, key)
	return p
}

// forget runs when a program is gone.
func (e *exprEngine) forget(key programKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.programs[key].Value() == nil {
		delete(e.programs, key)
	}
}

// exprProgram is a compiled expression. code is nil where the conditions say
// all that the expression says.
type exprProgram struct {
	code       *vm.Program
	conditions []Condition
	whole      bool
}

// Conditions implements Indexable.
func (p *exprProgram) Conditions() ([]Condition, bool) { return p.conditions, p.whole }

// Match implements Program.
func (p *exprProgram) Match(ev *Event) (bool, error) {
	if p.whole {
		return holds(p.conditions, ev)
	}
	m, err := ev.machine()
	if err != nil {
		return false, err
	}
	defer ev.release(m)
	m.budget.reset(time.Now())
	result, err := m.vm.Run(p.code, m.env)
	if err != nil {
		return false, runtimeError(err)
	}
	return result.(bool), nil
}

// compileExpr checks the text against every limit, types it, rewrites it so
// that it keeps to its budget, and compiles it. The order matters: nothing of
// expr sees a text that the steps before could not bound. The optimizer stays
// off: it would evaluate parts of the text at compile time.
func compileExpr(text string, names Names) (p *exprProgram, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, tooComplex()
		}
	}()
	if problem := scan(text); problem != nil {
		return nil, problem
	}

	// Without an environment the parser takes a name before "(" for a builtin
	// even where a noun has the same name.
	syntax := conf.CreateNew()
	syntax.MaxNodes = MaxNodes
	tree, err := parser.ParseWithConfig(text, syntax)
	if err != nil {
		return nil, compileError(err, text, names)
	}
	if problem := vet(&tree.Node, tree.Source); problem != nil {
		return nil, problem
	}

	config := conf.New(names.environment())
	config.Optimize = false
	config.Expect = reflect.Bool
	config.ExpectAny = true
	config.Functions = functions
	if _, err := checker.Check(tree, config); err != nil {
		return nil, compileError(err, text, names)
	}
	conditions, whole := conditionsOf(tree.Node, names)
	if whole {
		return &exprProgram{conditions: conditions, whole: true}, nil
	}

	root, problem := rewrite(&tree.Node, tree.Source)
	if problem != nil {
		return nil, problem
	}
	if _, err := checker.Check(tree, config); err != nil {
		return nil, compileError(err, text, names)
	}
	code, err := compiler.Compile(tree, config)
	if err != nil {
		return nil, tooComplex()
	}
	// The program holds on to its tree, which is larger than all the rest, and
	// never uses it.
	root.Callee, root.Arguments = nil, nil
	return &exprProgram{code: code, conditions: conditions}, nil
}

// tooComplex is what is said of an expression that nothing else is known to be
// wrong with.
func tooComplex() *Error {
	return &Error{Detail: "this expression cannot be compiled; write it more simply", Line: 1, Column: 1}
}

// located makes an error at a place of the source.
func located(source file.Source, where file.Location, format string, args ...any) *Error {
	at := (&file.Error{Location: where}).Bind(source)
	return &Error{Detail: shorten(fmt.Sprintf(format, args...)), Line: at.Line, Column: at.Column + 1}
}

// compileError words an error of expr's parser or checker. Those quote the text:
// what is repeated of it is names, never literals, which may be secrets.
func compileError(err error, text string, names Names) *Error {
	var at *file.Error
	if !errors.As(err, &at) {
		// The only errors without a place are about the type of the whole.
		_, got, _ := strings.Cut(err.Error(), "but got ")
		return &Error{Detail: "the expression must give a boolean, not " + plainType(got), Line: 1, Column: 1}
	}
	detail := at.Message
	switch {
	case strings.Contains(detail, "unexpected token "):
		before, token, _ := strings.Cut(detail, "unexpected token ")
		if detail = before + unexpected(token); strings.HasSuffix(before, "(") {
			detail += ")"
		}
	case strings.HasPrefix(detail, "unknown name "):
		detail = withoutLiteral(detail, at.From, text) + "; the names are " + strings.Join(names.List(), ", ")
	case strings.HasPrefix(detail, "bad number syntax"), strings.Contains(detail, " literal: "):
		detail, _, _ = strings.Cut(detail, ": ")
	case strings.Contains(detail, "exceeds maximum allowed nodes"):
		detail = tooLarge
	case strings.Contains(detail, "to call __matches"):
		detail = "matches needs a string on its left"
	default:
		detail = withoutLiteral(plainType(detail), at.From, text)
	}
	return &Error{Detail: shorten(detail), Line: max(at.Line, 1), Column: at.Column + 1}
}

// unexpected words a token as expr prints it: its kind and, in brackets, its
// text as Go quotes it.
func unexpected(token string) string {
	kind, rest, _ := strings.Cut(token, "(")
	switch kind {
	case "EOF":
		return "unexpected end of the expression"
	case "String":
		return "unexpected string"
	case "Number":
		return "unexpected number"
	case "Operator", "Bracket":
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			return "unexpected " + quoted
		}
	case "Identifier":
		if name := strings.Trim(rest, `")`); isShown(name) {
			return "unexpected name " + name
		}
		return "unexpected name"
	}
	return "unexpected token"
}

// naming are the words before a name in an error of the checker.
var naming = []string{"unknown name ", "unknown field ", " has no field ", " has no method "}

// withoutLiteral takes a name out of an error unless it stands as a name at that
// place of the text: a string can name a member too.
func withoutLiteral(detail string, at int, text string) string {
	for _, words := range naming {
		before, name, ok := strings.Cut(detail, words)
		if !ok {
			continue
		}
		rest := []rune(text)
		rest = rest[min(max(at, 0), len(rest)):]
		if isShown(name) && strings.HasPrefix(string(rest), name) {
			return detail
		}
		return before + strings.TrimSuffix(words, " ")
	}
	return detail
}

// isShown reports whether an error may repeat a name: it is short and looks like
// one. What is longer may be a secret that was pasted without quotes.
func isShown(name string) bool {
	const most = 32
	return len(name) <= most && isIdentifier(strings.TrimLeft(name, "_"))
}

// shown returns a name for an error.
func shown(name string) string {
	if isShown(name) {
		return name
	}
	return "…"
}

var tooLarge = fmt.Sprintf("the expression is too large; at most %d names, literals, operators and calls are allowed", MaxNodes)

// runtimeError words an error of an evaluation.
func runtimeError(err error) *Error {
	out := &Error{Detail: err.Error()}
	if at, ok := errors.AsType[*file.Error](err); ok {
		out.Detail, out.Line, out.Column = at.Message, at.Line, at.Column+1
	}
	if errors.Is(err, ErrBudget) {
		out.Err = ErrBudget
	}
	if rest, ok := strings.CutPrefix(out.Detail, "interface conversion: "); ok {
		got, want, _ := strings.Cut(rest, ", not ")
		out.Detail = fmt.Sprintf("a %s is needed here, found %s", want, strings.TrimPrefix(got, "interface {} is "))
	}
	out.Detail = shorten(plainType(out.Detail))
	return out
}

// plainType replaces Go's names of types by those of JSON.
var goTypes = strings.NewReplacer(
	"map[string]interface {}", "object",
	"map[string]interface{}", "object",
	"map[string]any", "object",
	"[]interface {}", "array",
	"[]interface{}", "array",
	"[]any", "array",
	"interface {}", "any",
	"float64", "number",
	"<nil>", "nil",
	"time.Time", "date",
	"time.Duration", "duration",
)

func plainType(text string) string { return goTypes.Replace(text) }

// call builds a call of one of our functions that charges the budget, in the
// place of the node it replaces.
func call(name string, at file.Location, args ...ast.Node) *ast.CallNode {
	budget := &ast.IdentifierNode{Value: budgetName}
	callee := &ast.IdentifierNode{Value: name}
	node := &ast.CallNode{Callee: callee, Arguments: append([]ast.Node{budget}, args...)}
	for _, n := range []ast.Node{budget, callee, node} {
		n.SetLocation(at)
	}
	return node
}
