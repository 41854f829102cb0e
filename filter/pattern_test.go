package filter_test

import (
	"testing"

	"github.com/tengineai/webhook-gateway/filter"
)

func TestMatchesType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, eventType string
		want               bool
	}{
		{"project.created", "project.created", true},
		{"project.created", "project.updated", false},
		{"project.*", "project.created", true},
		{"project.*", "project.member.added", true},
		{"project.*", "project_x.created", false},
		{"project.member.*", "project.member.added", false},
		{"*", "project.created", true},
		{"*", "webhook.disabled", false},
		{"webhook.*", "webhook.disabled", true},
		{"webhook.disabled", "webhook.disabled", true},
		{"*", "webhooks.created", true},
		{"*", "webhook.custom", true}, // a type of a catalogue, like any other
		{"*", "webhook.disabled.twice", true},
		{"webhook.*", "webhook.custom", true},
		{"*.*", "project.created", false},
		{".*", "project.created", false},
		{"", "project.created", false},
		{"project", "project.created", false},
		{"PROJECT.*", "project.created", false},
	} {
		if got := filter.MatchesType(tt.pattern, tt.eventType); got != tt.want {
			t.Errorf("MatchesType(%q, %q) = %v", tt.pattern, tt.eventType, got)
		}
	}
}
