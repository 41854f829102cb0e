package problem

import (
	"net/url"
	"strings"
)

// Pointer returns the JSON pointer that leads along the names of members, in URI
// fragment form (RFC 6901 section 6): "#/filters/a~1b". Without any it is "#", the
// whole.
func Pointer(names ...string) string { return string(AppendPointer([]byte{'#'}, names...)) }

// AppendPointer appends names of members to a pointer.
func AppendPointer(pointer []byte, names ...string) []byte {
	const digits = "0123456789ABCDEF"
	for _, name := range names {
		pointer = append(pointer, '/')
		for i := range len(name) {
			switch b := name[i]; {
			case b == '~':
				pointer = append(pointer, "~0"...)
			case b == '/':
				pointer = append(pointer, "~1"...)
			case inFragment(b):
				pointer = append(pointer, b)
			default:
				pointer = append(pointer, '%', digits[b>>4], digits[b&0xF])
			}
		}
	}
	return pointer
}

// inFragment says whether a byte stands for itself in a URI fragment (RFC 3986
// section 3.5). The two that a pointer escapes are left out.
func inFragment(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-._!$&'()*+,;=:@?", b) >= 0
}

// PointerNames returns the names that a pointer leads along; none for "#" and "".
func PointerNames(pointer string) []string {
	rest, ok := strings.CutPrefix(pointer, "#/")
	if !ok {
		return nil
	}
	names := strings.Split(rest, "/")
	for i, name := range names {
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return names
}
