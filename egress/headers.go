package egress

import (
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Limits of custom headers (contract section 3, Limits).
const (
	MaxHeaders     = 32
	MaxHeaderName  = 128  // bytes
	MaxHeaderValue = 4096 // bytes
)

// reservedNames and reservedPrefixes are what custom headers may not be called
// (contract section 6, Reserved header names): they frame the message, describe
// its body, speak for a proxy, or are the gateway's own. The idempotency keys are
// here because what is on the way may repeat a POST that carries one.
var (
	reservedNames = []string{
		"accept-encoding", "connection", "date", "expect", "forwarded", "host", "http2-settings",
		"idempotency-key", "keep-alive", "te", "trailer", "trailers", "transfer-encoding", "upgrade",
		"user-agent", "via", "x-idempotency-key", "x-real-ip",
	}
	reservedPrefixes = []string{":", "content-", "proxy-", "webhook-", "x-forwarded-", "x-tengine-"}
)

// Reserved reports whether a header name is the gateway's own, in any case. A
// sender drops such a custom header if an old record holds one.
func Reserved(name string) bool {
	lower := strings.ToLower(name)
	if slices.Contains(reservedNames, lower) {
		return true
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return false
}

// CheckHeaders returns everything that keeps headers from being the custom
// headers of a webhook, with pointers like "#/headers/Name". It never repeats
// a value.
func CheckHeaders(headers []webhook.Header) []problem.Item {
	var items []problem.Item
	if len(headers) > MaxHeaders {
		items = append(items, problem.Item{
			Code: problem.TooLong, Detail: "There may be at most 32 headers.", Pointer: "#/headers",
		})
	}
	seen := make(map[string]bool, len(headers))
	for _, h := range headers {
		lower := strings.ToLower(h.Name)
		pointer := headerPointer(h.Name)
		if code, detail := checkHeaderName(h.Name); detail != "" {
			items = append(items, problem.Item{Code: code, Detail: detail, Pointer: pointer})
		} else if seen[lower] {
			items = append(items, problem.Item{
				Code: problem.DuplicateMember, Detail: "Header names must differ by more than case.", Pointer: pointer,
			})
		}
		seen[lower] = true
		if code, detail := checkHeaderValue(h.Value); detail != "" {
			items = append(items, problem.Item{Code: code, Detail: detail, Pointer: pointer})
		}
	}
	return items
}

func checkHeaderName(name string) (problem.Code, string) {
	switch {
	case name == "":
		return problem.InvalidValue, "A header name must not be empty."
	case len(name) > MaxHeaderName:
		return problem.TooLong, "A header name may have at most 128 bytes."
	case Reserved(name):
		return problem.Reserved, "The gateway sets this header itself or must not send it."
	}
	for i := range len(name) {
		if !isTokenByte(name[i]) {
			return problem.InvalidValue, "A header name may hold letters, digits and !#$%&'*+-.^_`|~ only."
		}
	}
	return "", ""
}

func checkHeaderValue(value string) (problem.Code, string) {
	switch {
	case value == "":
		return problem.InvalidValue, "A header value must not be empty."
	case len(value) > MaxHeaderValue:
		return problem.TooLong, "A header value may have at most 4096 bytes."
	case value[0] == ' ' || value[len(value)-1] == ' ':
		return problem.InvalidValue, "A header value must not begin or end with a space."
	}
	for i := range len(value) {
		if value[i] < 0x20 || value[i] > 0x7E {
			return problem.InvalidValue, "A header value may hold printable ASCII characters only."
		}
	}
	return "", ""
}

// isTokenByte reports whether c may stand in a token (RFC 9110 section 5.6.2).
func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// headerPointer returns the JSON pointer to a header in URI fragment form. A
// name over the limit is not repeated.
func headerPointer(name string) string {
	if len(name) > MaxHeaderName {
		return "#/headers"
	}
	return problem.Pointer("headers", name)
}
