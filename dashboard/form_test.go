package dashboard

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/gateway"
)

// FuzzForm reads arbitrary forms. Whatever is in one, it is read without a
// panic, and what can be read is the same when it is shown and read again.
func FuzzForm(f *testing.F) {
	f.Add("url=https%3A%2F%2Fexample.com&events=*&filter_path=a.b&filter_kind=list&filter_value=%5B1%5D&header_name=X&header_value=y&retry=1m+2d&timeout=5s")
	f.Add("filter_path=a&filter_path=a&auth=basic&auth_user=a:b&auth_secret=x&concurrency=9999999999999999999999")
	f.Add("filter_kind=number&filter_path=n&filter_value=1e999&retry=,,,&rate_limit=1/s")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			t.Skip()
		}
		_, spec, items := readWebhookForm(form)
		if len(items) > 0 {
			return
		}
		shown := formOf(gateway.Webhook{WebhookSpec: spec})
		again := url.Values{
			"url": {shown.URL}, "description": {shown.Description}, "events": shown.Events, "filter": {shown.Filter},
			"timeout": {shown.Timeout}, "retry": {shown.Retry}, "rate_limit": {shown.Rate}, "concurrency": {shown.Concurrency},
		}
		for _, row := range shown.Filters {
			again.Add("filter_path", row.Path)
			again.Add("filter_kind", row.Kind)
			again.Add("filter_value", row.Value)
		}
		for _, row := range shown.Headers {
			again.Add("header_name", row.Name)
			again.Add("header_value", row.Value)
		}
		_, second, items := readWebhookForm(again)
		if len(items) > 0 {
			t.Fatalf("what was shown is refused: %v", items)
		}
		spec.Secret = ""
		if strings.ContainsAny(query, "%\r") || !utf8.ValidString(query) {
			return // texts that forms normalise
		}
		if len(spec.Filters) != len(second.Filters) || len(spec.Headers) != len(second.Headers) || spec.Timeout != second.Timeout ||
			!cmp.Equal(spec.Retry, second.Retry) {
			t.Errorf("(-read +read again)\n%s", cmp.Diff(spec, second))
		}
	})
}

// A browser drops line ends from the value of an input.
func TestAFilterIsTheSameAfterABrowserHasShownIt(t *testing.T) {
	browser := strings.NewReplacer("\r", "", "\n", "")
	for _, value := range []string{`"plain"`, `"two\nlines"`, `"old\r\nlines"`, `["a\nb",1]`, `"\u2028"`, `1.50`, `true`, `null`, `""`} {
		row := newFilterRow("data.text", json.RawMessage(value))
		row.Value = browser.Replace(row.Value)
		got, fault := row.json()
		if got := strings.TrimSuffix(strings.TrimPrefix(string(got), "["), "]"); fault != "" || got != strings.Trim(value, "[]") {
			t.Errorf("%s became %s %s", value, got, fault)
		}
	}
}

// FuzzVisible shows arbitrary bytes: what comes out is UTF-8 without anything
// that acts on a terminal or on the direction of text.
func FuzzVisible(f *testing.F) {
	f.Add([]byte("\x1b[31m\x00\xff\u202e\r\n\t\u2028\u0085"))
	f.Fuzz(func(t *testing.T, text []byte) {
		shown := visible(text)
		if !utf8.ValidString(shown) {
			t.Errorf("%q is no UTF-8", shown)
		}
		for _, r := range shown {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%q is left in %q", r, shown)
			}
		}
	})
}

func TestColumnsFitAndShowEveryFailure(t *testing.T) {
	for _, counts := range [][2]uint64{{0, 0}, {1, 0}, {0, 1}, {1, 1_000_000}, {1_000_000, 1}, {5, 5}, {4_000_000_000, 4_000_000_000}} {
		c := newColumn(0, 4, 24, counts[0], counts[1], counts[0]+counts[1])
		if c.OKHeight < 0 || c.BadH < 0 || c.BadY < 0 || c.OKHeight+c.BadH > 24 || counts[1] > 0 && c.BadH == 0 {
			t.Errorf("%v: %+v", counts, c)
		}
	}
}
