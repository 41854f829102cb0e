package dispatch

import (
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/webhook"
)

// secrets are the values of a receiver's secret headers. They are masked in what is
// recorded of its responses: a receiver that sends back its requests would show
// them to whoever may read the log.
type secrets struct {
	spellings []string
	replacer  *strings.Replacer
}

const (
	// maskedFrom is how long a secret is that is looked for: shorter ones turn up by
	// chance.
	maskedFrom = 8

	// cutFrom is how much of one has to be left at the end of a body that was cut.
	cutFrom = 4
)

// secretsOf returns the secrets among headers, and what follows the scheme of
// credentials ("Bearer …"), as they are and as JSON has them; nil if there are none.
func secretsOf(headers []webhook.Header) *secrets {
	var s secrets
	add := func(secret string) {
		if len(secret) < maskedFrom {
			return
		}
		for _, spelling := range []string{secret, inJSON.Replace(secret), inPHP.Replace(secret)} {
			if !slices.Contains(s.spellings, spelling) {
				s.spellings = append(s.spellings, spelling)
			}
		}
	}
	for _, h := range headers {
		if !webhook.SecretHeader(h.Name) {
			continue
		}
		add(h.Value)
		if _, credentials, ok := strings.Cut(h.Value, " "); ok {
			add(strings.TrimSpace(credentials))
		}
	}
	if s.spellings == nil {
		return nil
	}
	pairs := make([]string, 0, 2*len(s.spellings))
	for _, spelling := range s.spellings {
		pairs = append(pairs, spelling, webhook.Masked)
	}
	s.replacer = strings.NewReplacer(pairs...)
	return &s
}

// How strings of JSON have what header values can hold. PHP escapes slashes, too.
var (
	inJSON = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	inPHP  = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `/`, `\/`)
)

// mask removes the secrets from what is recorded of a response.
func (s *secrets) mask(a *webhook.Attempt) {
	if s == nil {
		return
	}
	if len(a.ResponseBody) > 0 {
		body := s.replacer.Replace(string(a.ResponseBody))
		if a.ResponseTruncated {
			body = s.maskCut(body)
		}
		a.ResponseBody = []byte(body)
	}
	for i := range a.ResponseHeaders {
		a.ResponseHeaders[i].Value = s.replacer.Replace(a.ResponseHeaders[i].Value)
	}
}

// maskCut replaces the beginning of a secret at the end of a body that was cut.
func (s *secrets) maskCut(body string) string {
	left := 0
	for _, spelling := range s.spellings {
		for n := min(len(spelling)-1, len(body)); n >= max(cutFrom, left+1); n-- {
			if strings.HasSuffix(body, spelling[:n]) {
				left = n
				break
			}
		}
	}
	if left == 0 {
		return body
	}
	body = body[:len(body)-left] + webhook.Masked
	return body[:min(len(body), webhook.MaxResponseBody)]
}
