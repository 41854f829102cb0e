package filter

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// conditionsOf finds the conditions among the terms of an expression that are
// joined by "and" at the top. whole is true where nothing else is left.
func conditionsOf(node ast.Node, names Names) (conditions []Condition, whole bool) {
	if n, ok := node.(*ast.BinaryNode); ok {
		switch n.Operator {
		case "and", "&&":
			left, wholeLeft := conditionsOf(n.Left, names)
			right, wholeRight := conditionsOf(n.Right, names)
			return append(left, right...), wholeLeft && wholeRight
		case "==":
			if c, ok := equality(n.Left, n.Right, names); ok {
				return []Condition{c}, true
			}
			if c, ok := equality(n.Right, n.Left, names); ok {
				return []Condition{c}, true
			}
		case "in":
			if c, ok := membership(n.Left, n.Right, names); ok {
				return []Condition{c}, true
			}
		}
	}
	return nil, false
}

func equality(place, value ast.Node, names Names) (Condition, bool) {
	path, ok := pathOf(place, names)
	if !ok {
		return Condition{}, false
	}
	literal, ok := literalOf(value)
	if !ok {
		return Condition{}, false
	}
	return Condition{Path: path, Values: []any{literal}}, true
}

func membership(place, list ast.Node, names Names) (Condition, bool) {
	path, ok := pathOf(place, names)
	if !ok {
		return Condition{}, false
	}
	array, ok := list.(*ast.ArrayNode)
	if !ok || len(array.Nodes) == 0 || len(array.Nodes) > MaxValues {
		return Condition{}, false
	}
	c := Condition{Path: path}
	for _, node := range array.Nodes {
		literal, ok := literalOf(node)
		if !ok {
			return Condition{}, false
		}
		if !slices.Contains(c.Values, literal) {
			c.Values = append(c.Values, literal)
		}
	}
	return c, true
}

// pathOf reads a chain of members with constant names that begins at a
// top-level name.
func pathOf(node ast.Node, names Names) ([]string, bool) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		return []string{n.Value}, names.Has(n.Value)
	case *ast.ChainNode:
		return pathOf(n.Node, names)
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		path, ok := pathOf(n.Node, names)
		return append(path, name.Value), ok
	}
	return nil, false
}

func literalOf(node ast.Node) (any, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.NilNode:
		return nil, true
	case *ast.UnaryNode:
		value, ok := literalOf(n.Node)
		number, isNumber := value.(float64)
		if n.Operator == "-" && ok && isNumber {
			return -number, true
		}
	}
	return nil, false
}

// holds says whether all conditions hold for the event.
func holds(conditions []Condition, ev *Event) (bool, error) {
	for _, c := range conditions {
		value, err := ev.lookup(c.Path)
		if err != nil {
			return false, err
		}
		if !c.holds(value) {
			return false, nil
		}
	}
	return true, nil
}

func (c Condition) holds(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return slices.Contains(c.Values, value)
}
