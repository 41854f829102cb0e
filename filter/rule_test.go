package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/filter"
)

func entries(pairs ...string) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

func TestMapFormMatches(t *testing.T) {
	tests := []struct {
		path, value string
		want        bool
	}{
		{"project.name", `"My Project"`, true},
		{"project.name", `"my project"`, false},
		{"project.name", `["x","My Project"]`, true},
		{"project.name", `["x","y"]`, false},
		{"project.id", `"proj_123"`, true},
		{"id", `"evt_1"`, true},
		{"type", `"api_key.created"`, true},
		{"created_at", `"2024-01-01T00:00:00Z"`, true},
		{"api_version", `"2021-09-01"`, true},
		{"data.count", `6`, true},
		{"data.count", `6.0`, true},
		{"data.count", `60e-1`, true},
		{"data.count", `"6"`, false},
		{"data.zero", `-0`, true},
		{"data.zero", `false`, false},
		{"data.zero", `null`, false},
		{"data.live", `true`, true},
		{"data.live", `"true"`, false},
		{"data.none", `null`, true},
		{"data.missing", `null`, true},
		{"data.missing.deeper", `null`, true},
		{"data.missing", `[null,1]`, true},
		{"data.missing", `"x"`, false},
		{"data.name", `null`, false},
		{"data.name", `[null,"My API Key"]`, true},
		{"data.owner", `null`, false},
		{"data.owner", `"Ann"`, false},
		{"data.owner.name", `"Ann"`, true},
		{"data.permissions", `"read"`, false},
		{"data.permissions.0", `"read"`, false},
		{"data.items.0.price", `null`, true},
		{"data.text", `"Gr\u00fc\u00dfe"`, true},
		{"api_key.id", `"key_123"`, true},
		{"integration.id", `null`, true},
		{"integration.id", `"key_123"`, false},
		{"integration", `null`, true},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			got, err := mustCompile(t, entries(tt.path, tt.value), "").Match(newEnvironment("api_key.created", keyData))
			if err != nil || got != tt.want {
				t.Fatalf("Match: %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestMapFormThatDoesNotCompile(t *testing.T) {
	many := make([]string, filter.MaxValues+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	tests := []struct{ path, value, want string }{
		{"", `1`, "single dots"},
		{"data.", `1`, "single dots"},
		{".data", `1`, "single dots"},
		{"data..x", `1`, "single dots"},
		{"foo.bar", `1`, "must begin with one of id, type, created_at, api_version, data, project, api_key, integration, usage"},
		{"Data.x", `1`, "must begin with"},
		{"__budget", `1`, "must begin with"},
		{"data.\xff", `1`, "UTF-8"},
		{"data" + strings.Repeat(".a", filter.MaxPath), `1`, "more than 64 names"},
		{"data.x", ``, "not valid JSON"},
		{"data.x", `nope`, "not valid JSON"},
		{"data.x", `1 2`, "not valid JSON"},
		{"data.x", `"\ud800"`, "not valid JSON"},
		{"data.x", `[]`, "must not be empty"},
		{"data.x", `{"a":1}`, "must be a string, a number"},
		{"data.x", `[1,[2]]`, "must be a string, a number"},
		{"data.x", `1e999`, "too large"},
		{"data.x", "[" + strings.Join(many, ",") + "]", "more than 100 values"},
	}
	for _, tt := range tests {
		_, err := filter.Compile(nil, names, entries(tt.path, tt.value), "")
		var problems filter.Errors
		if !errors.As(err, &problems) || len(problems) != 1 {
			t.Errorf("%q: %v; want one problem", tt.path, err)
			continue
		}
		if p := problems[0]; !p.Map || p.Path != tt.path || !strings.Contains(p.Detail, tt.want) {
			t.Errorf("%q %s: %+v; want %q", tt.path, tt.value, p, tt.want)
		}
	}
}

func TestMapFormLimits(t *testing.T) {
	t.Parallel()
	filters := entries()
	for i := range filter.MaxEntries {
		filters[fmt.Sprintf("data.m%d", i)] = json.RawMessage(`1`)
	}
	if _, err := filter.Compile(nil, names, filters, ""); err != nil {
		t.Errorf("32 entries: %v", err)
	}
	filters["data.x"] = json.RawMessage(`1`)
	if _, err := filter.Compile(nil, names, filters, ""); err == nil || !strings.Contains(err.Error(), "more than 32 entries") {
		t.Errorf("33 entries: %v", err)
	}
	large := entries("data.x", `"`+strings.Repeat("x", filter.MaxMapSize)+`"`)
	if _, err := filter.Compile(nil, names, large, ""); err == nil || !strings.Contains(err.Error(), "larger than 16384 bytes") {
		t.Errorf("large map: %v", err)
	}
}

func TestCompileReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := filter.Compile(nil, names, entries("b.x", `1`, "a.x", `1`, "data.ok", `1`), "id ==\n 5")
	var problems filter.Errors
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	if problems[0].Path != "a.x" || problems[1].Path != "b.x" || problems[2].Line != 1 || problems[2].Column != 4 {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has a line break: %q", err)
	}
}

func TestBothFormsMustMatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		value, text string
		want        bool
	}{
		{`"My Project"`, `data.count > 5`, true},
		{`"Other"`, `data.count > 5`, false},
		{`"My Project"`, `data.count > 6`, false},
	} {
		got, err := mustCompile(t, entries("project.name", tt.value), tt.text).Match(newEnvironment("api_key.created", keyData))
		if err != nil || got != tt.want {
			t.Errorf("%s and %s: %v, %v; want %v", tt.value, tt.text, got, err, tt.want)
		}
	}
}

func TestNoFilterMatchesWithoutReadingTheEvent(t *testing.T) {
	t.Parallel()
	ev := filter.NewEvent(newEvent("project.created", `{broken`), []byte(`broken`), names)
	for _, rule := range []*filter.Rule{nil, mustCompile(t, nil, ""), mustCompile(t, nil, `type == "project.created"`)} {
		if got, err := rule.Match(ev); !got || err != nil {
			t.Errorf("Match: %v, %v", got, err)
		}
	}
}

func TestProjectDefaultsToItsID(t *testing.T) {
	t.Parallel()
	ev := filter.NewEvent(newEvent("usage.limit_exceeded", `{}`), nil, names)
	if got, err := mustCompile(t, nil, `project.id == "proj_123" and project.name == nil`).Match(ev); !got || err != nil {
		t.Errorf("Match: %v, %v", got, err)
	}
}

func TestUnreadableEventIsAnErrorOfEachFilter(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{broken`, `[1]`, `{"a":1}{}`, ``} {
		ev := filter.NewEvent(newEvent("usage.limit_exceeded", data), nil, names)
		for _, rule := range []*filter.Rule{mustCompile(t, nil, `data.a == 1`), mustCompile(t, nil, `data.a != 1`)} {
			var problem *filter.Error
			if got, err := rule.Match(ev); got || !errors.As(err, &problem) {
				t.Errorf("%s: Match: %v, %v; want an error", data, got, err)
			}
		}
	}
}

// guest is a filter engine of a third party.
type guest func(*filter.Event) (bool, error)

func (g guest) Compile(text string, _ filter.Names) (filter.Program, error) {
	if text == "panic" {
		panic("guest")
	}
	if text == "refuse" {
		return nil, errors.New("the guest does not like it")
	}
	return g, nil
}

func (g guest) Match(ev *filter.Event) (bool, error) { return g(ev) }

func TestGuestEnginesAreHeldToTheContract(t *testing.T) {
	t.Parallel()
	reads := guest(func(ev *filter.Event) (bool, error) {
		variables, err := ev.Variables()
		return variables["data"].(map[string]any)["count"] == 6.0, err
	})
	ev := newEnvironment("api_key.created", keyData)
	rule, err := filter.Compile(reads, names, nil, "anything")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rule.Match(ev); !got || err != nil {
		t.Errorf("Match: %v, %v", got, err)
	}
	var problem *filter.Error
	panics, _ := filter.Compile(guest(func(*filter.Event) (bool, error) { panic("guest") }), names, nil, "x")
	if got, err := panics.Match(ev); got || !errors.As(err, &problem) {
		t.Errorf("a guest that panics: %v, %v", got, err)
	}
	for _, text := range []string{"panic", "refuse", strings.Repeat("x", filter.MaxText+1)} {
		if _, err := filter.Compile(reads, names, nil, text); !errors.As(err, &problem) {
			t.Errorf("Compile(%.10q): %v", text, err)
		}
	}
}
