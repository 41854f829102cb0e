package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible returns text of others so that nothing in it acts on whoever looks
// at it: control characters and bytes that are no UTF-8 become \xNN, and what changes the direction of text or cannot be seen
// becomes \u{NNNN}. Line ends and tabs stay. Escaping for HTML is the
// templates' work.
func visible(text []byte) string {
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02X`, text[0])
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == '\r' && len(text) > 1 && text[1] == '\n':
			// of a line end
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, r)
		case unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			fmt.Fprintf(&b, `\u{%04X}`, r)
		default:
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

// visibleText is visible for the templates.
func visibleText(text any) string {
	switch text := text.(type) {
	case []byte:
		return visible(text)
	case json.RawMessage:
		return visible(text)
	case string:
		return visible([]byte(text))
	default:
		return visible(fmt.Append(nil, text))
	}
}

// pretty returns JSON with a line for each member. Numbers and strings stay as
// they are. What is not JSON is returned as it came.
func pretty(doc []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return doc
	}
	return b.Bytes()
}
