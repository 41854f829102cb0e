package filter_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/filter"
)

// TestGuideExamples runs every example of docs/filters.md against the event
// that the guide shows. An example is a code block marked "filter" or
// "filters", and the marker says what comes of it: match, no match, error, or
// refused.
func TestGuideExamples(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	event := regexp.MustCompile("(?s)```json event\n(.*?)```").FindSubmatch(guide)
	project := regexp.MustCompile("(?s)```json project\n(.*?)```").FindSubmatch(guide)
	if event == nil || project == nil {
		t.Fatal("the guide shows no event or no project")
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(event[1], &envelope); err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := json.Compact(&data, envelope.Data); err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```(filters?) ([a-z ]+)\n(.*?)```").FindAllSubmatch(guide, -1)
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	run := func(form, want, text string) {
		var filters map[string]json.RawMessage
		if form == "filters" {
			if err := json.Unmarshal([]byte(text), &filters); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			text = ""
		}
		rule, err := filter.Compile(nil, names, filters, text)
		got := "refused"
		if err == nil {
			matched, err := rule.Match(filter.NewEvent(newEvent("api_key.created", data.String()), project[1], names))
			got = map[bool]string{true: "match", false: "no match"}[matched]
			if err != nil {
				got = "error"
			}
		}
		if got != want {
			t.Errorf("%v%s: %s, the guide says %s (%v)", filters, text, got, want, err)
		}
	}
	for _, example := range examples {
		form, want, text := string(example[1]), string(example[2]), string(example[3])
		if form == "filters" {
			run(form, want, text)
			continue
		}
		for line := range strings.Lines(text) {
			run(form, want, strings.TrimSpace(line))
		}
	}
}

// TestGuideListsTheLimits keeps the numbers of the guide those of the code.
func TestGuideListsTheLimits(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"4096 bytes", "256 names", "32 deep", "2 deep", "256 instructions", "16 KiB", "64 KiB", "100 000 steps", "50 ms", "1 second", "2 seconds at once", "32 entries", "100 values"} {
		if !bytes.Contains(guide, []byte(text)) {
			t.Errorf("the guide does not say %q", text)
		}
	}
}
