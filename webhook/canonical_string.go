package webhook

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/problem"
)

// beginMember appends a member's name and notes the member.
func (c *canonicalizer) beginMember(top *container, raw []byte) {
	if top.n > 0 {
		c.out = append(c.out, ',')
	}
	top.n++
	top.named = true
	start := len(c.out)
	c.members = append(c.members, member{start: start, index: -1, name: raw}) // raw serves pointers until the next line is done
	kept := c.appendString(raw)
	name := c.out[start:len(c.out):len(c.out)]
	if kept {
		name = foldSurrogates(name)
	}
	m := &c.members[len(c.members)-1]
	m.name, m.index = name, arrayIndex(name[1:len(name)-1])
	top.indexed = top.indexed || m.index >= 0
	c.out = append(c.out, ':')
}

// appendString appends the canonical form of the string raw, quotes included: only
// the escapes that JSON.stringify uses. It reports whether there was a lone
// surrogate, which is then kept as it came.
func (c *canonicalizer) appendString(raw []byte) (kept bool) {
	if !utf8.Valid(raw) {
		c.refuse(problem.InvalidUTF8, "The text is not valid UTF-8.")
		c.out = append(c.out, raw...)
		return false
	}
	// The grammar allows no raw control character, so that all that is not an
	// escape stands for itself.
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			c.out = append(c.out, raw...)
			return kept
		}
		c.out = append(c.out, raw[:i]...)
		r, n := escaped(raw[i:])
		if !utf16.IsSurrogate(r) {
			c.out = appendRune(c.out, r)
		} else {
			if !kept && !c.preserve {
				c.refuse(problem.LoneSurrogate, "An escape is half of a surrogate pair; the other half is missing.")
			}
			kept = true
			c.out = append(c.out, raw[i:i+n]...)
		}
		raw = raw[i+n:]
	}
}

// escaped decodes the escape that b begins with, which the grammar has
// checked, and returns its length. Of a surrogate pair it is the character, of
// a lone surrogate that surrogate.
func escaped(b []byte) (rune, int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default: // " \ /
		return rune(b[1]), 2
	}
	r := hex4(b[2:6])
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(b[8:12])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

func hex4(b []byte) rune {
	var r rune
	for _, d := range b {
		switch {
		case d <= '9':
			r = r<<4 | rune(d-'0')
		default:
			r = r<<4 | rune(d|0x20-'a'+10)
		}
	}
	return r
}

// appendRune appends r as JSON.stringify prints it within a string.
func appendRune(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < ' ' {
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&0xF])
	}
	return utf8.AppendRune(dst, r)
}

// foldSurrogates returns a copy of a canonical string in which the surrogates that
// were kept are in lower case, so that equal names have equal bytes.
func foldSurrogates(name []byte) []byte {
	name = bytes.Clone(name)
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			continue
		}
		if i++; name[i] == 'u' {
			copy(name[i+1:i+5], bytes.ToLower(name[i+1:i+5]))
		}
	}
	return name
}

// arrayIndex returns the number that name is as an array index (ECMA-262
// section 6.1.7: "0" to "4294967294" without leading zeros), or -1.
func arrayIndex(name []byte) int64 {
	if len(name) == 0 || len(name) > 10 || name[0] == '0' && len(name) > 1 {
		return -1
	}
	var n int64
	for _, d := range name {
		if d < '0' || d > '9' {
			return -1
		}
		n = n*10 + int64(d-'0')
	}
	if n > 1<<32-2 {
		return -1
	}
	return n
}
