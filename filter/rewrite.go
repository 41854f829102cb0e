package filter

import (
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// rewrite replaces what could cost more than its size by calls of the
// functions in functions.go, which keep to the budget and know nil. The tree
// was vetted and checked: its nodes carry types. It gives back the new root.
func rewrite(root *ast.Node, source file.Source) (*ast.CallNode, *Error) {
	r := &rewriter{source: source}
	ast.Walk(root, r)
	if r.err != nil {
		return nil, r.err
	}
	result := call("__result", file.Location{}, *root)
	*root = result
	return result, nil
}

// rewriter implements ast.Visitor; it sees children before their parents.
type rewriter struct {
	source file.Source
	err    *Error
}

// ours says whether a node was made by this package.
func ours(node ast.Node, name string) bool {
	made, ok := node.(*ast.CallNode)
	if !ok {
		return false
	}
	callee, ok := made.Callee.(*ast.IdentifierNode)
	return ok && callee.Value == name
}

// Visit implements ast.Visitor.
func (r *rewriter) Visit(slot *ast.Node) {
	at := (*slot).Location()
	switch n := (*slot).(type) {
	case *ast.ChainNode:
		*slot = n.Node
	case *ast.MemberNode:
		*slot = call("__get", at, n.Node, n.Property)
	case *ast.ArrayNode:
		*slot = call("__list", at, n)
	case *ast.MapNode:
		*slot = call("__object", at, n)
	case *ast.BinaryNode:
		r.binary(slot, n)
	case *ast.PredicateNode:
		if !ours(n.Node, "__predicate") {
			n.Node = call("__predicate", n.Node.Location(), n.Node)
		}
	case *ast.BuiltinNode:
		r.builtin(slot, n)
	}
}

// operators are the operators with a function of their own.
var operators = map[string]string{
	"==":         "__equal",
	"in":         "__in",
	"contains":   "__contains",
	"startsWith": "__startsWith",
	"endsWith":   "__endsWith",
	"+":          "__add",
	"%":          "__mod",
	"<":          "__less",
	">":          "__more",
	"<=":         "__lessOrEqual",
	">=":         "__moreOrEqual",
}

func (r *rewriter) binary(slot *ast.Node, n *ast.BinaryNode) {
	if n.Operator == "!=" {
		equal := call("__equal", n.Location(), n.Left, n.Right)
		not := &ast.UnaryNode{Operator: "not", Node: equal}
		not.SetLocation(n.Location())
		*slot = not
		return
	}
	if name, ok := operators[n.Operator]; ok {
		*slot = call(name, n.Location(), n.Left, n.Right)
	}
}

func (r *rewriter) builtin(slot *ast.Node, n *ast.BuiltinNode) {
	at := n.Location()
	switch n.Name {
	case "now":
	case "any", "all", "none", "one", "filter", "find", "count":
		if !ours(n.Arguments[0], "__array") {
			n.Arguments[0] = call("__array", n.Arguments[0].Location(), n.Arguments[0])
		}
		if len(n.Arguments) == 1 {
			element := &ast.PointerNode{}
			element.SetLocation(at)
			body := &ast.PredicateNode{Node: call("__predicate", at, element)}
			body.SetLocation(at)
			n.Arguments = append(n.Arguments, body)
		}
	case "date":
		r.date(slot, n)
	default:
		*slot = call("__"+n.Name, at, n.Arguments...)
	}
}

// date loads the time zone of date(text, layout, zone) when the filter is
// compiled, so that an evaluation reads no files.
func (r *rewriter) date(slot *ast.Node, n *ast.BuiltinNode) {
	if len(n.Arguments) == 3 {
		name, ok := n.Arguments[2].(*ast.StringNode)
		if !ok {
			if _, done := n.Arguments[2].(*ast.ConstantNode); !done {
				r.refuse(n.Arguments[2], "the time zone must be a string literal")
			}
			return
		}
		zone, err := time.LoadLocation(name.Value)
		if err != nil {
			r.refuse(name, "there is no time zone of this name")
			return
		}
		constant := &ast.ConstantNode{Value: zone}
		constant.SetLocation(name.Location())
		n.Arguments[2] = constant
	}
	*slot = call("__date", n.Location(), n.Arguments...)
}

func (r *rewriter) refuse(node ast.Node, format string, args ...any) {
	if r.err == nil {
		r.err = located(r.source, node.Location(), format, args...)
	}
}
