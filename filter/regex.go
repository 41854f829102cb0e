package filter

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// patternSizes sums up what the patterns of one filter take, in time to parse
// them and in memory for as long as the webhook lives.
type patternSizes struct {
	wideRanges   int
	instructions int
	characters   int
}

const (
	// maxWideRanges bounds ranges like [а-я] over all patterns of one filter.
	// With (?i) the parser walks every character of such a range, up to 2 ms
	// each.
	maxWideRanges = 8

	// maxCharacters bounds the characters and range ends of the compiled
	// patterns of one filter. \pL alone has about 1300.
	maxCharacters = 6000
)

// pattern is a regular expression with the size that its cost is counted by.
type pattern struct {
	re           *regexp.Regexp
	instructions int
}

// compilePattern compiles a literal pattern within the limits and adds it to
// the sizes of its filter. problem is empty on success.
func compilePattern(text string, sizes *patternSizes) (compiled *pattern, problem string) {
	sizes.wideRanges += wideRanges(text)
	if sizes.wideRanges > maxWideRanges {
		return nil, fmt.Sprintf("the regular expressions have more than %d ranges that end beyond ASCII", maxWideRanges)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, "this is no regular expression: " + wrong.Code.String() // without its Expr, which may be a secret
	}
	if err != nil {
		return nil, "this is no regular expression"
	}
	tooLarge := fmt.Sprintf("the regular expression is too large; it has more than %d instructions", MaxPattern)
	if size(tree) > 4*MaxPattern {
		return nil, tooLarge
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, "this is no regular expression"
	}
	if len(program.Inst) > MaxPattern {
		return nil, tooLarge
	}
	sizes.instructions += len(program.Inst)
	for i := range program.Inst {
		sizes.characters += len(program.Inst[i].Rune)
	}
	if sizes.instructions > 2*MaxPattern || sizes.characters > maxCharacters {
		return nil, fmt.Sprintf("the regular expressions of the filter are too large together; at most %d instructions and %d characters are allowed, and a class like \\pL has 1300",
			2*MaxPattern, maxCharacters)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, "this is no regular expression"
	}
	return &pattern{re: re, instructions: len(program.Inst)}, ""
}

// size estimates the instructions of a pattern without expanding its
// repetitions.
func size(tree *syntax.Regexp) int {
	const enough = 1 << 20
	own := 1 + len(tree.Rune)/8
	if tree.Op == syntax.OpLiteral {
		own = len(tree.Rune)
	}
	if tree.Op == syntax.OpCharClass {
		own = 1
	}
	sum := own
	for _, sub := range tree.Sub {
		sum = min(sum+size(sub), enough)
	}
	if tree.Op == syntax.OpRepeat {
		sum = min(sum*max(tree.Min, tree.Max, 1), enough)
	}
	return sum
}

// wideRanges counts the places of a pattern where a range may end beyond
// ASCII: a minus before an escape or before a character beyond ASCII.
func wideRanges(text string) int {
	n := 0
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '-' && (text[i+1] == '\\' || text[i+1] >= utf8.RuneSelf) {
			n++
		}
	}
	return n
}
