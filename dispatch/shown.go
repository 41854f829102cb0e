package dispatch

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// ShownHeaders returns the headers of a delivery's attempt as they may be
// shown: by name, system headers in lower case, the values of those that may
// be secret Masked. Custom headers, secrets and the user agent are the
// receiver's present ones, whatever they were when the attempt was made. A zero
// at stands for an attempt that was not made: it has no timestamp yet.
func (r *Receiver) ShownHeaders(
	ev *webhook.Event, d *webhook.Delivery, number int, trigger webhook.Trigger, at time.Time,
) []webhook.Header {
	custom := make(map[string]string)
	for _, h := range r.Subscription.Headers {
		custom[http.CanonicalHeaderKey(h.Name)] = h.Name
	}
	sent := newHeader(r, ev, d, number, trigger, at)
	shown := make([]webhook.Header, 0, len(sent))
	for _, h := range sent {
		if h.Name == signatureHeaders[signer.HeaderTimestamp] && at.IsZero() {
			continue
		}
		h.Name = cmp.Or(custom[h.Name], strings.ToLower(h.Name))
		if webhook.SecretHeader(h.Name) {
			h.Value = webhook.Masked
		}
		shown = append(shown, h)
	}
	slices.SortFunc(shown, func(a, b webhook.Header) int { return strings.Compare(a.Name, b.Name) })
	return shown
}
