package dashboard

import (
	"testing"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestEveryReasonHasWords(t *testing.T) {
	said := make(map[string]string)
	for _, reason := range webhook.Reasons {
		words := reasonWords(webhook.Delivery{Reason: reason})
		if words == "" || words == reason {
			t.Errorf("%s has no words", reason)
		}
		if other := said[words]; other != "" {
			t.Errorf("%s and %s have the same words", other, reason)
		}
		said[words] = reason
	}
	const text = "data.x > 3: invalid operation"
	if got := reasonWords(webhook.Delivery{Reason: text}); got != text {
		t.Errorf("the text of a filter error is shown as %q", got)
	}
}
