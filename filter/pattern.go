package filter

import (
	"strings"

	"github.com/tengineai/webhook-gateway/webhook"
)

// MatchesType says whether an entry of a subscription's events list means the
// event type: a type by its name, "noun.*" for every type whose first word is
// the noun, "*" for every type but the operational ones. Anything else, such
// as "a.b.*", means nothing.
func MatchesType(pattern, eventType string) bool {
	if pattern == eventType {
		return true
	}
	if pattern == "*" {
		return !webhook.IsOperational(eventType)
	}
	noun, rest, _ := strings.Cut(eventType, ".")
	return rest != "" && strings.HasSuffix(pattern, ".*") && pattern[:len(pattern)-2] == noun
}

// MatchesEvents says whether one of the patterns means the event type.
func MatchesEvents(patterns []string, eventType string) bool {
	for _, pattern := range patterns {
		if MatchesType(pattern, eventType) {
			return true
		}
	}
	return false
}
