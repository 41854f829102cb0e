package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
)

// scan checks what must hold before expr may see a text: its length, its
// encoding, and how deep brackets nest outside strings and comments.
func scan(text string) *Error {
	if len(text) > MaxText {
		return &Error{Detail: fmt.Sprintf("the expression is longer than %d bytes", MaxText)}
	}
	if !utf8.ValidString(text) {
		return &Error{Detail: "the expression is not valid UTF-8"}
	}
	if strings.TrimSpace(text) == "" {
		return &Error{Detail: "the expression is empty; leave the filter out to match every event"}
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '[', '{':
			if depth++; depth > MaxDepth {
				at := utf8.RuneCountInString(text[:i])
				return located(file.NewSource(text), file.Location{From: at, To: at + 1},
					"brackets nest more than %d deep", MaxDepth)
			}
		case ')', ']', '}':
			depth--
		case '"', '\'', '`':
			i = skipString(text, i)
		case '/':
			i = skipComment(text, i)
		}
	}
	return nil
}

// skipString gives the index of the quote that closes the string at start, or
// of the end of the text.
func skipString(text string, start int) int {
	quote := text[start]
	for i := start + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote != '`':
			i++
		case text[i] == quote:
			return i
		}
	}
	return len(text)
}

// skipComment gives the index of the last byte of the comment at start, or
// start where there is none.
func skipComment(text string, start int) int {
	end, length := "", 0
	switch {
	case strings.HasPrefix(text[start:], "//"):
		end, length = "\n", 1
	case strings.HasPrefix(text[start:], "/*"):
		end, length = "*/", 2
	default:
		return start
	}
	i := strings.Index(text[start+2:], end)
	if i < 0 {
		return len(text)
	}
	return start + 2 + i + length - 1
}
