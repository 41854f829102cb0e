package filter

import "strings"

// Operational is the noun of the operational events (webhook.disabled and so
// on). Unlike the others they are never meant by "*".
const Operational = "webhook"

// MatchesType says whether an entry of a subscription's events list means the
// event type: a type by its name, "noun.*" for every type whose first word is
// the noun, "*" for every type but the operational ones. Anything else, such
// as "a.b.*", means nothing.
func MatchesType(pattern, eventType string) bool {
	if pattern == eventType {
		return true
	}
	noun, rest, _ := strings.Cut(eventType, ".")
	if pattern == "*" {
		return noun != Operational
	}
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
