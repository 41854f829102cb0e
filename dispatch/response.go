package dispatch

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// bodyTime is how long a response body is read (contract section 1, Success).
const bodyTime = time.Second

// classify returns the outcome of a status code, and the text of the error that
// it is.
func classify(code int) (webhook.Outcome, string) {
	answered := "the receiver answered " + strconv.Itoa(code)
	switch {
	case code < 100:
		return webhook.BadResponse, answered
	case code < 200:
		return webhook.HTTP1xx, answered
	case code < 300:
		return webhook.Success, ""
	case code < 400:
		return webhook.HTTP3xx, answered + "; redirects are not followed"
	case code < 500:
		return webhook.HTTP4xx, answered
	case code < 600:
		return webhook.HTTP5xx, answered
	default:
		return webhook.BadResponse, answered
	}
}

// recordHeader returns the response headers as they are recorded: by name, as
// many whole fields as fit in webhook.MaxRecordedHeaderBytes. Values that may be
// secret, like cookies, are masked here, so that they never reach the disk.
func recordHeader(h http.Header) []webhook.Header {
	if len(h) == 0 {
		return nil
	}
	fields := make([]webhook.Header, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			if webhook.SecretHeader(name) {
				v = webhook.Masked
			}
			fields = append(fields, webhook.Header{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(fields, func(a, b webhook.Header) int { return strings.Compare(a.Name, b.Name) })

	room := webhook.MaxRecordedHeaderBytes
	return slices.DeleteFunc(fields, func(f webhook.Header) bool {
		size := len(f.Name) + len(f.Value)
		if size > room {
			return true
		}
		room -= size
		return false
	})
}

// readBody records the beginning of the response body. What goes wrong here
// changes nothing but ResponseTruncated. A body that ended leaves its connection
// for reuse; any other closes it.
func (s *Sender) readBody(a *webhook.Attempt, resp *http.Response) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // what follows is not a body
	}
	buf := s.buffers.Get().(*[webhook.MaxResponseBody]byte)
	defer s.buffers.Put(buf)
	n, ended := 0, false
	for n < len(buf) && !ended {
		m, err := resp.Body.Read(buf[n:])
		n += m
		if err != nil {
			ended = true
			a.ResponseTruncated = !errors.Is(err, io.EOF)
		}
	}
	if !ended {
		a.ResponseTruncated = !atEnd(resp.Body)
	}
	if n > 0 {
		a.ResponseBody = slices.Clone(buf[:n])
	}
}

// atEnd says whether a full buffer was all there is.
func atEnd(body io.Reader) bool {
	var one [1]byte
	for {
		n, err := body.Read(one[:])
		if n > 0 || err != nil {
			return n == 0 && errors.Is(err, io.EOF)
		}
	}
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds or a
// date. Zero if it is neither, or in the past.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

// maxRetryAfter is more than any schedule lets through.
const maxRetryAfter = 365 * 24 * time.Hour
