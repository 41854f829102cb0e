package dashboard_test

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
)

var nextLink = regexp.MustCompile(`href="([^"]*)" rel="next"`)

// pages follows the links to the next page from a path on.
func (b *browser) pages(t *testing.T, path string) []page {
	t.Helper()
	var all []page
	for range 20 {
		got := b.open(path)
		all = append(all, got)
		link := nextLink.FindStringSubmatch(got.body)
		if link == nil {
			return all
		}
		base, _, _ := strings.Cut(path, "?")
		path = base + html.UnescapeString(link[1])
	}
	t.Fatalf("%s has no last page", path)
	return nil
}

func TestEveryListIsReadToItsEnd(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	const events = 120
	for i := range events {
		w.publish(fmt.Sprintf(`{"id":"evt_%03d","type":"project.created","project_id":"acme","data":{"id":"acme"}}`, i))
	}
	for _, path := range []string{
		"/webhook/" + id + "/log",
		"/webhook/" + id + "/log?type=project.created&since=2020-01-01T00:00",
		"/events?project=acme",
	} {
		seen := 0
		for _, p := range b.pages(t, path) {
			for i := range events {
				if strings.Contains(p.body, fmt.Sprintf(">evt_%03d<", i)) {
					seen++
				}
			}
		}
		if seen != events {
			t.Errorf("%s: %d of %d events", path, seen, events)
		}
	}
}
