package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/problem"
)

// MaxURL is the longest URL of a receiver, in bytes (contract section 3, Limits).
const MaxURL = 2048

// CheckURL returns everything that keeps rawURL from being the URL of a webhook
// of the project (contract section 3, Limits), with pointer "#/url". It looks
// no name up: what a name resolves to is judged at each attempt, when it
// counts. Addresses and localhost are refused now if an attempt would be.
func (e *Egress) CheckURL(projectID, rawURL string) []problem.Item {
	var items []problem.Item
	refuse := func(code problem.Code, detail string) {
		items = append(items, problem.Item{Code: code, Detail: detail, Pointer: "#/url"})
	}

	if rawURL == "" {
		refuse(problem.Missing, "A URL is required.")
		return items
	}
	if len(rawURL) > MaxURL {
		refuse(problem.TooLong, "The URL may have at most 2048 bytes.")
	}
	if !utf8.ValidString(rawURL) {
		refuse(problem.InvalidUTF8, "The URL must be valid UTF-8.")
	}
	if strings.ContainsFunc(rawURL, isSpaceOrControl) {
		refuse(problem.InvalidValue, "The URL must not contain white space or control characters.")
	}
	if strings.Contains(rawURL, `\`) {
		refuse(problem.InvalidValue, "The URL must not contain a backslash.")
	}
	if strings.Contains(rawURL, "#") {
		refuse(problem.InvalidValue, "The URL must not have a fragment.")
	}
	if len(items) > 0 {
		return items // what is left could only confuse
	}

	u, err := url.Parse(rawURL)
	if err != nil {
		refuse(problem.InvalidValue, "The URL cannot be read. It must be absolute, like https://example.com/path, with a port within 1 and 65535 if any.")
		return items
	}
	if detail := e.checkScheme(u.Scheme); detail != "" {
		refuse(problem.InvalidValue, detail)
	}
	if u.User != nil {
		refuse(problem.InvalidValue, "The URL must not contain a user name or password. Use a custom header.")
	}
	port, ok := portOf(u)
	if !ok {
		refuse(problem.InvalidValue, "The port must be within 1 and 65535.")
		port = 1 // lets the host be judged as well
	}
	if u.Hostname() == "" {
		refuse(problem.InvalidValue, "The URL must be absolute and name a host.")
		return items
	}
	if code, detail := e.checkHost(projectID, u, port); detail != "" {
		refuse(code, detail)
	}
	return items
}

func (e *Egress) checkScheme(scheme string) string {
	switch {
	case scheme == "https", scheme == "http" && e.cfg.AllowHTTP:
		return ""
	case e.cfg.AllowHTTP:
		return "The URL must begin with https:// or http://."
	}
	return "The URL must begin with https://."
}

func (e *Egress) checkHost(projectID string, u *url.URL, port uint16) (problem.Code, string) {
	h, err := parseHost(u.Hostname())
	switch {
	case errors.Is(err, errOddAddress):
		return problem.InvalidValue, "An IPv4 address must be written as four decimal numbers, like 192.0.2.1."
	case errors.Is(err, errZone):
		return problem.InvalidValue, "The host must not contain a zone id or a percent sign."
	case err != nil:
		return problem.InvalidValue, "The host is not a valid name."
	}

	r := e.transportsOf(projectID).rules
	switch {
	case h.addr.IsValid():
		if e.guard.check(r, netip.AddrPortFrom(h.addr, port)) != nil {
			return problem.AddressRefused, "Webhooks may not be sent to this address."
		}
	case h.local:
		for _, addr := range loopbacks {
			if e.guard.check(r, netip.AddrPortFrom(addr, port)) == nil {
				return "", ""
			}
		}
		return problem.AddressRefused, "Webhooks may not be sent to this address."
	case h.singleLabel() && !r.any():
		return problem.AddressRefused, "The host must be a full name, with a dot."
	}
	return "", ""
}

func isSpaceOrControl(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
