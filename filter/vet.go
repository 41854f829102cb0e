package filter

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// builtins are the functions of expr that filters may use, in the order of the
// documentation.
var builtins = []string{
	"any", "all", "none", "one", "filter", "find", "count",
	"len", "lower", "upper", "trim", "int", "float", "string", "get", "now", "date", "duration",
}

// vet refuses what the language of filters does not have and replaces the
// pattern of each "matches" by its compiled form. It goes over the parsed tree
// before the checker, for the checker visits shared parts again and again
// (each level of "(((a ?: b) ?: c) ?: d)" doubles the work) and compiles
// regular expressions of any size.
func vet(root *ast.Node, source file.Source) *Error {
	v := vetter{source: source}
	v.node(root)
	return v.err
}

type vetter struct {
	source     file.Source
	err        *Error
	visits     int
	predicates int // how many predicates the node is in
	patterns   patternSizes
}

// refuse keeps the first problem.
func (v *vetter) refuse(node ast.Node, format string, args ...any) {
	if v.err == nil {
		v.err = located(v.source, node.Location(), format, args...)
	}
}

func (v *vetter) nodes(nodes []ast.Node) {
	for i := range nodes {
		v.node(&nodes[i])
	}
}

func (v *vetter) node(slot *ast.Node) {
	if v.err != nil || *slot == nil {
		return
	}
	if v.visits++; v.visits > MaxNodes {
		v.refuse(*slot, "%s", tooLarge)
		return
	}
	switch n := (*slot).(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		v.identifier(n)
	case *ast.UnaryNode:
		v.node(&n.Node)
	case *ast.BinaryNode:
		v.binary(slot, n)
	case *ast.ChainNode:
		v.node(&n.Node)
	case *ast.MemberNode:
		v.node(&n.Node)
		v.node(&n.Property)
	case *ast.SliceNode:
		v.node(&n.Node)
		v.node(&n.From)
		v.node(&n.To)
	case *ast.CallNode:
		v.call(n)
	case *ast.BuiltinNode:
		v.builtin(n)
	case *ast.PredicateNode:
		v.predicate(n)
	case *ast.PointerNode:
		if n.Name != "" {
			v.refuse(n, "#%s is not available; # is the element", shown(n.Name))
		}
	case *ast.ConditionalNode:
		v.node(&n.Cond)
		v.node(&n.Exp1)
		v.node(&n.Exp2)
	case *ast.ArrayNode:
		v.nodes(n.Nodes)
	case *ast.MapNode:
		v.nodes(n.Pairs)
	case *ast.PairNode:
		v.node(&n.Key)
		v.node(&n.Value)
	case *ast.VariableDeclaratorNode:
		v.refuse(n, "let is not available; repeat the expression")
	case *ast.SequenceNode:
		v.refuse(n, "; is not available; a filter is one expression")
	case *ast.BytesNode:
		v.refuse(n, "byte strings are not available; write a string without the b")
	default:
		v.refuse(n, "this is not available in filters")
	}
}

func (v *vetter) identifier(n *ast.IdentifierNode) {
	switch {
	case n.Value == "$env":
		v.refuse(n, "$env is not available; name the members")
	case strings.HasPrefix(n.Value, "__"):
		v.refuse(n, "names that begin with two underscores are not available; write data[\"%s\"] for a member of that name", shown(n.Value))
	}
}

func (v *vetter) binary(slot *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "..":
		v.refuse(n, ".. is not available; list the values")
	case "matches":
		v.node(&n.Left)
		v.matches(slot, n)
		return
	}
	v.node(&n.Left)
	v.node(&n.Right)
}

func (v *vetter) matches(slot *ast.Node, n *ast.BinaryNode) {
	literal, ok := n.Right.(*ast.StringNode)
	if !ok {
		v.refuse(n, "the right side of matches must be a string literal")
		return
	}
	v.visits++
	compiled, problem := compilePattern(literal.Value, &v.patterns)
	if problem != "" {
		v.refuse(literal, "%s", problem)
		return
	}
	constant := &ast.ConstantNode{Value: compiled}
	constant.SetLocation(literal.Location())
	*slot = call("__matches", n.Location(), n.Left, constant)
}

func (v *vetter) call(n *ast.CallNode) {
	if callee, ok := n.Callee.(*ast.IdentifierNode); ok && !strings.HasPrefix(callee.Value, "__") {
		v.refuse(n, "there is no function %s; the functions are %s", shown(callee.Value), strings.Join(builtins, ", "))
		return
	}
	// A shared node may hold a call that vet put there.
	if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "__matches" && len(n.Arguments) == 3 {
		if _, ours := n.Arguments[2].(*ast.ConstantNode); ours {
			v.node(&n.Arguments[1])
			return
		}
	}
	v.refuse(n, "methods are not available; the functions are %s", strings.Join(builtins, ", "))
}

func (v *vetter) builtin(n *ast.BuiltinNode) {
	if !slices.Contains(builtins, n.Name) {
		v.refuse(n, "the function %s is not available; the functions are %s", n.Name, strings.Join(builtins, ", "))
		return
	}
	v.nodes(n.Arguments)
}

func (v *vetter) predicate(n *ast.PredicateNode) {
	v.predicates++
	if v.predicates > MaxPredicateDepth {
		v.refuse(n, "predicates nest more than %d deep", MaxPredicateDepth)
	}
	v.node(&n.Node)
	v.predicates--
}
