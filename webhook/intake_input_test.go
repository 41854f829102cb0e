package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/webhook"
)

var acceptedAt = time.Date(2024, 5, 6, 9, 8, 9, 123456789, time.FixedZone("", 7200))

func TestEventHasTheContractsBody(t *testing.T) {
	input := mustRead(t, `{"data":{"id":"proj_123", "name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"},
		"created_at":"2024-01-01T00:00:00Z","type":"project.created","id":"evt_01J9Z3Q8M5"}`)
	e := input.Event(acceptedAt, webhook.DefaultAPIVersion)
	const want = `{"id":"evt_01J9Z3Q8M5","type":"project.created","data":{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`
	if string(e.Body) != want {
		t.Errorf("body\n got %s\nwant %s", e.Body, want)
	}
	if e.ID != "evt_01J9Z3Q8M5" || e.Type != "project.created" || e.ProjectID != "proj_123" || e.CreatedAt != "2024-01-01T00:00:00Z" || e.APIVersion != "2021-09-01" || !e.ReceivedAt.Equal(acceptedAt) {
		t.Errorf("got %+v", e)
	}
	if string(e.Context) != string(e.Data()) {
		t.Errorf("context: got %s, want the data", e.Context)
	}
}

func TestEventFillsInWhatWasLeftOpen(t *testing.T) {
	e := mustRead(t, `{"type":"api_key.created","project":{"id":"p","name":"N"},"data":{}}`).Event(acceptedAt, "2030-01-01")
	if !strings.HasPrefix(e.ID, "evt_") || len(e.ID) != 30 {
		t.Errorf("id %q", e.ID)
	}
	if e.CreatedAt != "2024-05-06T07:08:09.123Z" || e.APIVersion != "2030-01-01" {
		t.Errorf("created_at %q, api_version %q", e.CreatedAt, e.APIVersion)
	}
	if want := `{"id":"` + e.ID + `","type":"api_key.created","data":{},"created_at":"2024-05-06T07:08:09.123Z","api_version":"2030-01-01"}`; string(e.Body) != want {
		t.Errorf("body\n got %s\nwant %s", e.Body, want)
	}
	if string(e.Context) != `{"id":"p","name":"N"}` {
		t.Errorf("context %s", e.Context)
	}
}

func TestEventKeepsTheCloudEventSource(t *testing.T) {
	input, err := (&webhook.Intake{}).CloudEvent([]byte(structured))
	if err != nil {
		t.Fatal(err)
	}
	e := input.Event(acceptedAt, "")
	if e.Source != "https://example.com/cloudevents/pull" || strings.Contains(string(e.Body), e.Source) {
		t.Errorf("source %q, body %s", e.Source, e.Body)
	}
	if e.Context != nil {
		t.Errorf("context %s, want none", e.Context)
	}
}

func TestEventDataIsTheMemberOfTheBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := drawInput(t)
		e := input.Event(acceptedAt, "2021-09-01")
		if string(e.Data()) != string(input.Data) {
			t.Fatalf("got %s, want %s", e.Data(), input.Data)
		}
		var body struct {
			ID, Type  string
			Data      json.RawMessage
			CreatedAt string `json:"created_at"`
			Version   string `json:"api_version"`
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatal(err)
		}
		if body.ID != e.ID || body.Type != e.Type || body.CreatedAt != e.CreatedAt || body.Version != e.APIVersion || string(body.Data) != string(input.Data) {
			t.Fatalf("body %s of %+v", e.Body, e)
		}
		canonical, err := webhook.Canonical(e.Body, false)
		if err != nil || string(canonical) != string(e.Body) {
			t.Fatalf("the body is not canonical: %s, %v", e.Body, err)
		}
		if len(e.Context) > 0 {
			e.Context = append(e.Context, "beyond"...)
		}
		if !json.Valid(e.Body) {
			t.Fatal("body and context overlap")
		}
	})
}

func TestEventDataOfABodyThatIsTooShortIsNil(t *testing.T) {
	for _, e := range []webhook.Event{{}, {ID: "evt_1", Body: []byte(`{"id":"evt_1"}`)}} {
		if got := e.Data(); got != nil {
			t.Errorf("got %s", got)
		}
	}
}

func TestSameContent(t *testing.T) {
	const base = `{"id":"evt_1","type":"api_key.created","project_id":"p","data":{"n":1,"m":2},"created_at":"2024-01-01T00:00:00Z","api_version":"1"}`
	e := mustRead(t, base).Event(acceptedAt, "2021-09-01")
	tests := []struct {
		name, repeat string
		want         bool
	}{
		{"the same", base, true},
		{"other bytes, same canonical data", `{"data":{"n":1.0, "\u006d":2e0},"id":"evt_1","project":{"id":"p","name":"new"},"type":"api_key.created","created_at":"2024-01-01T00:00:00Z","api_version":"1"}`, true},
		{"created_at and api_version left out", `{"id":"evt_1","type":"api_key.created","project_id":"p","data":{"n":1,"m":2}}`, true},
		{"another type", strings.Replace(base, "created", "updated", 1), false},
		{"another project", strings.Replace(base, `"p"`, `"q"`, 1), false},
		{"other data", strings.Replace(base, `"n":1`, `"n":3`, 1), false},
		{"another order", strings.Replace(base, `"n":1,"m":2`, `"m":2,"n":1`, 1), false},
		{"another created_at", strings.Replace(base, "2024", "2025", 1), false},
		{"created_at written otherwise", strings.Replace(base, "00Z", "00+00:00", 1), false},
		{"another api_version", strings.Replace(base, `"1"`, `"2"`, 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustRead(t, tt.repeat).SameContent(&e); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestARepeatOfAnEventWithFilledInMembersIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := drawInput(t)
		e := input.Event(acceptedAt, "2021-09-01")
		if !input.SameContent(&e) {
			t.Fatalf("%+v is not the same as its event", input)
		}
	})
}

func mustRead(t *testing.T, body string) webhook.Input {
	t.Helper()
	input, err := (&webhook.Intake{}).One([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return input
}

// drawInput reads an event with arbitrary sound members.
func drawInput(t *rapid.T) webhook.Input {
	event := map[string]any{
		"type": rapid.SampledFrom(elevenTypes).Draw(t, "type"),
		"data": rapid.MapOf(rapid.String(), rapid.OneOf(
			rapid.String().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(), rapid.SliceOf(rapid.String()).AsAny())).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "rich") {
		event["project"] = map[string]any{"id": "p", "name": rapid.String().Draw(t, "name")}
	} else {
		event["project_id"] = rapid.StringMatching(`[A-Za-z0-9_.:-]{1,128}`).Draw(t, "project_id")
	}
	if rapid.Bool().Draw(t, "with id") {
		event["id"] = rapid.StringMatching(`[A-Za-z0-9_:-]{1,128}`).Draw(t, "id")
	}
	if rapid.Bool().Draw(t, "with created_at") {
		event["created_at"] = "2024-01-01T00:00:00Z"
	}
	if rapid.Bool().Draw(t, "with api_version") {
		event["api_version"] = rapid.StringMatching(`[A-Za-z0-9._-]{1,64}`).Draw(t, "api_version")
	}
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	input, err := (&webhook.Intake{}).One(body)
	if err != nil {
		t.Fatal(err)
	}
	return input
}
