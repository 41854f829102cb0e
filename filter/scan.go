package filter

import (
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
)

// scan checks what must hold before expr may see a text: its length, its
// encoding, and how deep brackets nest outside strings and comments.
func scan(text string) *Error {
	if problem := checkLength(text); problem != nil {
		return problem
	}
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			return after(text[:i], "the expression is not valid UTF-8")
		}
	}
	if strings.TrimSpace(text) == "" {
		return after("", "the expression is empty; leave the filter out to match every event")
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '[', '{':
			if depth++; depth > MaxDepth {
				return after(text[:i], "brackets nest more than %d deep", MaxDepth)
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

// checkLength points at the first character that is not within the limit.
func checkLength(text string) *Error {
	if len(text) <= MaxText {
		return nil
	}
	end := MaxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return after(text[:end], "the expression is longer than %d bytes", MaxText)
}

// after makes an error at the place that follows a part of the text.
func after(before, format string, args ...any) *Error {
	at := utf8.RuneCountInString(before)
	return located(file.NewSource(before), file.Location{From: at, To: at + 1}, format, args...)
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
	var end string
	switch {
	case strings.HasPrefix(text[start:], "//"):
		end = "\n"
	case strings.HasPrefix(text[start:], "/*"):
		end = "*/"
	default:
		return start
	}
	i := strings.Index(text[start+2:], end)
	if i < 0 {
		return len(text)
	}
	return start + 2 + i + len(end) - 1
}
