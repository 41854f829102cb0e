package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// host is what the host part of a receiver's URL turned out to be. Exactly one
// of addr, local and name says so.
type host struct {
	addr  netip.Addr // an IP literal
	local bool       // localhost or below it (RFC 6761): loopback, without a lookup
	name  string     // a name in ASCII, lower case, without a final dot
}

var (
	errNotAHost   = errors.New("not a valid host name")
	errOddAddress = errors.New("an IP address in an unusual spelling")
	errZone       = errors.New("an IPv6 zone")
)

// loopbacks is what localhost resolves to.
var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

// parseHost reads the host part of a URL, IPv6 without its brackets.
//
// Spellings that a C library takes for an IPv4 address and Go does not (127.1,
// 2130706433, 0x7f.1, 0177.0.0.1) are errors: the last label of a public name
// is never a number.
func parseHost(text string) (host, error) {
	if strings.Contains(text, "%") {
		return host{}, errZone
	}
	if strings.Contains(text, ":") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return host{}, errNotAHost
		}
		return host{addr: addr.Unmap()}, nil
	}
	ascii, err := toASCII(text)
	if err != nil {
		return host{}, errNotAHost
	}
	if addr, err := netip.ParseAddr(ascii); err == nil {
		return host{addr: addr}, nil
	}
	name := strings.TrimSuffix(ascii, ".")
	if !isDomain(name) {
		return host{}, errNotAHost
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case isNumber(last):
		return host{}, errOddAddress
	case last == "localhost":
		return host{local: true}, nil
	}
	return host{name: name}, nil
}

// singleLabel reports whether h is a name without a dot: never a public one.
func (h host) singleLabel() bool {
	return h.name != "" && !strings.Contains(h.name, ".")
}

// toASCII maps a host to what is looked up, in lower case.
func toASCII(text string) (string, error) {
	if !isASCII(text) {
		return idna.Lookup.ToASCII(text)
	}
	lower := strings.ToLower(text)
	if strings.HasPrefix(lower, "xn--") || strings.Contains(lower, ".xn--") {
		return idna.Lookup.ToASCII(lower)
	}
	return lower, nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isDomain reports whether name is labels of letters, digits, hyphens and
// underscores, joined by single dots, within the limits of RFC 1035.
func isDomain(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// isNumber reports whether a label is a decimal, octal or hexadecimal number to
// those who parse IPv4 addresses generously.
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		c := digits[i]
		if (c < '0' || c > '9') && !(hex && c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// portOf returns the port of an http or https URL, and false if it is none
// that can be dialled.
func portOf(u *url.URL) (uint16, bool) {
	text := u.Port()
	if text == "" {
		if strings.HasSuffix(u.Host, ":") {
			return 0, false
		}
		if u.Scheme == "http" {
			return 80, true
		}
		return 443, true
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil && port > 0
}
