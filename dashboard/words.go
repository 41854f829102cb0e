package dashboard

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// attemptWords tells what came of an attempt in a few plain words.
func attemptWords(a *webhook.Attempt) string {
	if a == nil {
		return "not tried yet"
	}
	answered := strings.TrimSpace(strconv.Itoa(a.StatusCode) + " " + http.StatusText(a.StatusCode))
	switch a.Outcome {
	case webhook.Success:
		return "answered " + answered
	case webhook.HTTP1xx:
		return "answered " + answered + ", which is no final answer"
	case webhook.HTTP3xx:
		return "answered " + answered + "; redirects are not followed"
	case webhook.HTTP4xx, webhook.HTTP5xx:
		return "answered " + answered
	case webhook.Timeout:
		return "no answer within " + durationWords(a.Duration)
	case webhook.DNS:
		return "the host name was not found"
	case webhook.Connect:
		return "no connection to the server"
	case webhook.TLS:
		return "no secure connection: the certificate or the TLS handshake failed"
	case webhook.Reset:
		return "the connection broke before an answer came"
	case webhook.BlockedAddress:
		return "the address may not be called from here"
	case webhook.NoAddressFamily:
		return "the server has no address of a kind that we send from"
	case webhook.HeadersTooLarge:
		return "the answer's headers were too large"
	case webhook.BadResponse:
		return "the answer was not HTTP"
	case webhook.Proxy:
		return "the proxy refused or failed"
	case webhook.Panicked:
		return "a fault of the gateway"
	default:
		return string(a.Outcome)
	}
}

// statusWords names a delivery's status.
func statusWords(s webhook.Status) string {
	switch s {
	case webhook.FilterError:
		return "filter error"
	case webhook.Pending, webhook.Delivered, webhook.Failed, webhook.Skipped, webhook.Cancelled, webhook.Corrupt:
	}
	return string(s)
}

// stateWords says what a webhook's state means.
func stateWords(w gateway.Webhook) string {
	switch {
	case w.Status == webhook.Paused:
		return "paused: what falls due is held until you resume it"
	case w.Status != webhook.Disabled:
		return "active"
	case w.DisabledReason == webhook.ReasonGone:
		return "disabled: its receiver answered 410 Gone"
	case w.DisabledReason == webhook.ReasonFailing:
		return "disabled: it failed for days without a single success"
	default:
		return "disabled: somebody turned it off"
	}
}

// resultWords says what became of an event for a webhook.
func resultWords(o gateway.EventOutcome) string {
	switch o.Result {
	case gateway.ResultFiltered:
		return "not sent: its filter does not match"
	case gateway.ResultNotSubscribed:
		return "not sent: it does not subscribe to this event type"
	case gateway.ResultCreatedLater:
		return "not sent: the webhook was created after this event"
	default:
		return statusWords(webhook.Status(o.Result))
	}
}

// reasonWords says why a delivery has its status.
func reasonWords(d webhook.Delivery) string {
	switch d.Reason {
	case "":
		return ""
	case webhook.ReasonBacklogFull:
		return "too many deliveries of this webhook were waiting"
	case webhook.ReasonOtherProject:
		return "the webhook was given to another project"
	case webhook.ReasonTest:
		return "a test event"
	case webhook.ReasonExpired:
		return "it was still waiting after 30 days"
	case webhook.ReasonGone:
		return "the receiver answered 410 Gone"
	case webhook.ReasonFailing:
		return "the webhook was disabled because it kept failing"
	case webhook.ReasonManual:
		return "the webhook was disabled by somebody"
	case webhook.ReasonDisabled:
		return "the webhook was disabled"
	case webhook.ReasonNotSent:
		return "the gateway itself could not send it, or stopped meanwhile"
	default: // the text of a filter error
		return d.Reason
	}
}

// durationWords writes a duration as people read it: 183 ms, 5 s, 2 min.
func durationWords(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strings.TrimSuffix(strconv.FormatFloat(d.Seconds(), 'f', 1, 64), ".0") + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Round(time.Minute).Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Round(time.Hour).Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}

// countText writes a number with separators: 12,345.
func countText(n any) string {
	switch n := n.(type) {
	case int:
		return humanize.Comma(int64(n))
	case int64:
		return humanize.Comma(n)
	default:
		return fmt.Sprint(n)
	}
}

// bytesText writes a size: 12 GiB.
func bytesText(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(n))
}

func sizeText(text []byte) string { return bytesText(int64(len(text))) }

// stamp is a moment as pages show it.
type stamp struct {
	Machine string // for the datetime attribute
	UTC     string // what is shown without JavaScript
}

// newStamp takes a time.Time, or a text in RFC 3339.
func newStamp(t any) stamp {
	var at time.Time
	switch t := t.(type) {
	case time.Time:
		at = t
	case string:
		var err error
		if at, err = time.Parse(time.RFC3339Nano, t); err != nil {
			return stamp{UTC: t}
		}
	}
	if at.IsZero() {
		return stamp{UTC: "–"}
	}
	at = at.UTC()
	return stamp{Machine: at.Format("2006-01-02T15:04:05.000Z"), UTC: at.Format("2006-01-02 15:04:05") + " UTC"}
}
