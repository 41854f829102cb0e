package webhook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestOneReadsTheContractsExample(t *testing.T) {
	got, err := (&webhook.Intake{}).One([]byte(` {"type":"api_key.created","project":{"id":"proj_123","name":"My Project"},
		"data":{"id":"key_123","name":"My API Key","permissions":["read","write"]},
		"id":"evt_01J9Z3Q8M5","created_at":"2024-01-01T00:00:00Z","api_version":"2022-01-01"} `))
	if err != nil {
		t.Fatal(err)
	}
	wantInput(t, got, webhook.Input{
		ID:         "evt_01J9Z3Q8M5",
		Type:       "api_key.created",
		ProjectID:  "proj_123",
		Project:    []byte(`{"id":"proj_123","name":"My Project"}`),
		Data:       []byte(`{"id":"key_123","name":"My API Key","permissions":["read","write"]}`),
		CreatedAt:  "2024-01-01T00:00:00Z",
		APIVersion: "2022-01-01",
	})
}

func TestOneFindsTheProject(t *testing.T) {
	tests := []struct {
		name, body, project string
		context             string // empty: none
		noDefault           bool
	}{
		{"project", `{"type":"api_key.created","project":{"id":"p"},"data":{}}`, "p", "", false},
		{"project with more", `{"type":"api_key.created","project":{"name":"N","id":"p"},"data":{}}`, "p", `{"name":"N","id":"p"}`, false},
		{"project is canonical", `{"type":"api_key.created","project":{"name":"N", "7":1.0,"id":"\u0070"},"data":{}}`, "p", `{"7":1,"name":"N","id":"p"}`, false},
		{"project_id", `{"type":"api_key.created","project_id":"a.b:c-d_E9","data":{}}`, "a.b:c-d_E9", "", false},
		{"both alike", `{"type":"api_key.created","project_id":"p","project":{"id":"p","x":1},"data":{}}`, "p", `{"id":"p","x":1}`, false},
		{"project event", `{"type":"project.created","data":{"id":"p","name":"N"}}`, "p", `{"id":"p","name":"N"}`, false},
		{"project event before its type", `{"data":{"id":"p","name":"N"},"type":"project.deleted"}`, "p", `{"id":"p","name":"N"}`, false},
		{"project event without default", `{"type":"project.created","data":{"id":"p"}}`, "p", `{"id":"p"}`, true},
		{"project event with escaped id", `{"type":"project.created","data":{"\u0069d":"\u0070"}}`, "p", `{"id":"p"}`, false},
		{"project event of another project", `{"type":"project.updated","project_id":"q","data":{"id":"p"}}`, "q", "", false},
		{"project event that names its own", `{"type":"project.updated","project_id":"p","data":{"id":"p","n":1}}`, "p", `{"id":"p","n":1}`, false},
		{"project event with a bare project", `{"type":"project.updated","project":{"id":"p"},"data":{"id":"p","n":1}}`, "p", `{"id":"p","n":1}`, false},
		{"project event with a full project", `{"type":"project.updated","project":{"id":"p","n":2},"data":{"id":"p","n":1}}`, "p", `{"id":"p","n":2}`, false},
		{"project event without id", `{"type":"project.updated","data":{"name":"N"}}`, "main", "", false},
		{"project event with a number as id", `{"type":"project.updated","data":{"id":7}}`, "main", "", false},
		{"project event with a nested id", `{"type":"project.updated","data":{"x":{"id":"p"},"y":[{"id":"q"}]}}`, "main", "", false},
		{"data.id of the default project", `{"type":"project.updated","data":{"id":"main"}}`, "main", `{"id":"main"}`, false},
		{"other event with data.id", `{"type":"api_key.created","data":{"id":"p"}}`, "main", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := &webhook.Intake{DefaultProject: "main"}
			if tt.noDefault {
				in.DefaultProject = ""
			}
			got, err := in.One([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if got.ProjectID != tt.project || string(got.Project) != tt.context {
				t.Errorf("got project %q, context %q, want %q, %q", got.ProjectID, got.Project, tt.project, tt.context)
			}
			if tt.context == "" && got.Project != nil {
				t.Error("the context is empty, but not nil")
			}
		})
	}
}

func TestOneRefusesWithEveryProblem(t *testing.T) {
	type items = []problem.Item
	item := func(code problem.Code, pointer string) problem.Item {
		return problem.Item{Code: code, Pointer: pointer}
	}
	tests := []struct {
		name, body string
		want       items
	}{
		{"nothing in it", `{}`, items{item(problem.Missing, "#/type"), item(problem.Missing, "#/data"), item(problem.Missing, "#/project_id")}},
		{"no object", `"x"`, items{item(problem.WrongType, "#")}},
		{"null", `null`, items{item(problem.WrongType, "#")}},
		{"an array", `[{"type":1}]`, items{item(problem.WrongType, "#")}},
		{"wrong types", `{"type":1,"data":[],"project":"p","id":null,"created_at":0,"api_version":{}}`, items{
			item(problem.WrongType, "#/id"), item(problem.WrongType, "#/created_at"), item(problem.WrongType, "#/api_version"),
			item(problem.WrongType, "#/type"), item(problem.WrongType, "#/data"), item(problem.WrongType, "#/project"),
		}},
		{"unknown members", `{"Type":"x","type":"api_key.created","data":{},"project_id":"p","a/b":1,"~":2,"":3}`, items{
			item(problem.UnknownMember, "#/Type"), item(problem.UnknownMember, "#/a~1b"), item(problem.UnknownMember, "#/~0"), item(problem.UnknownMember, "#/"),
		}},
		{"names are case-sensitive", `{"TYPE":"api_key.created","Data":{},"project_id":"p"}`, items{
			item(problem.UnknownMember, "#/TYPE"), item(problem.UnknownMember, "#/Data"), item(problem.Missing, "#/type"), item(problem.Missing, "#/data"),
		}},
		{"duplicate in the envelope", `{"type":"api_key.created","data":{},"project_id":"p","type":"api_key.created"}`, items{item(problem.DuplicateMember, "#/type")}},
		{"duplicate in data", `{"type":"api_key.created","data":{"n":1,"n":1},"project_id":"p"}`, items{item(problem.DuplicateMember, "#/data/n")}},
		{"number in data", `{"type":"api_key.created","data":{"n":9007199254740993},"project_id":"p"}`, items{item(problem.NumberNotExact, "#/data/n")}},
		{"unknown type", `{"type":"order.paid","data":{},"project_id":"p"}`, items{item(problem.UnknownType, "#/type")}},
		{"operational type", `{"type":"webhook.disabled","data":{},"project_id":"p"}`, items{item(problem.UnknownType, "#/type")}},
		{"malformed type", `{"type":"Order Paid","data":{},"project_id":"p"}`, items{item(problem.InvalidValue, "#/type")}},
		{"bad id", `{"id":"a b","type":"api_key.created","data":{},"project_id":"p"}`, items{item(problem.InvalidValue, "#/id")}},
		{"empty id", `{"id":"","type":"api_key.created","data":{},"project_id":"p"}`, items{item(problem.InvalidValue, "#/id")}},
		{"escaped id", `{"id":"a\nb","type":"api_key.created","data":{},"project_id":"p"}`, items{item(problem.InvalidValue, "#/id")}},
		{"bad api_version", `{"api_version":"v 1","type":"api_key.created","data":{},"project_id":"p"}`, items{item(problem.InvalidValue, "#/api_version")}},
		{"project without id", `{"type":"api_key.created","data":{},"project":{"name":"N"}}`, items{item(problem.Missing, "#/project/id")}},
		{"project with a number as id", `{"type":"api_key.created","data":{},"project":{"n":[1],"id":7}}`, items{item(problem.WrongType, "#/project/id")}},
		{"project with null as id", `{"type":"api_key.created","data":{},"project":{"id":null}}`, items{item(problem.WrongType, "#/project/id")}},
		{"project with an id further in", `{"type":"api_key.created","data":{},"project":{"n":{"id":"p"}}}`, items{item(problem.Missing, "#/project/id")}},
		{"project without id beside project_id", `{"type":"api_key.created","data":{},"project":{"name":"N"},"project_id":"p"}`, items{item(problem.Missing, "#/project/id")}},
		{"bad project id", `{"type":"api_key.created","data":{},"project":{"id":"a/b"}}`, items{item(problem.InvalidValue, "#/project/id")}},
		{"bad project_id", `{"type":"api_key.created","data":{},"project_id":"*"}`, items{item(problem.InvalidValue, "#/project_id")}},
		{"projects that disagree", `{"type":"api_key.created","data":{},"project_id":"p","project":{"id":"q"}}`, items{item(problem.InvalidValue, "#/project_id")}},
		{"project event with a bad id", `{"type":"project.created","data":{"id":"a b"}}`, items{item(problem.InvalidValue, "#/data/id")}},
		{"project event with an empty id", `{"type":"project.created","data":{"id":""}}`, items{item(problem.InvalidValue, "#/data/id")}},
		{"project event without id", `{"type":"project.created","data":{}}`, items{item(problem.Missing, "#/project_id")}},
		{"unknown project event", `{"type":"project.archived","data":{"id":"p"}}`, items{item(problem.UnknownType, "#/type")}},
		{"several", `{"type":"nope.nope","x":0,"data":{"a":1e999}}`, items{
			item(problem.NumberOverflow, "#/data/a"), item(problem.UnknownMember, "#/x"), item(problem.UnknownType, "#/type"), item(problem.Missing, "#/project_id"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := (&webhook.Intake{}).One([]byte(tt.body))
			wantItems(t, err, problem.Invalid, tt.want)
		})
	}
}

func TestOneTakesTimesOfRFC3339(t *testing.T) {
	for text, valid := range map[string]bool{
		"2024-01-01T00:00:00Z":                             true,
		"2024-02-29T23:59:59.123456789012+14:00":           true,
		"0000-01-01T00:00:00-00:00":                        true,
		"2024-01-01t00:00:00z":                             true,
		"2024-01-01T00:00:00.5z":                           true,
		"2024-01-01t00:00:00+01:00":                        true,
		"2016-12-31t23:59:60z":                             false,
		"2024-01-01x00:00:00z":                             false,
		"2023-02-29T00:00:00Z":                             false,
		"2024-01-01":                                       false,
		"2024-01-01 00:00:00Z":                             false,
		"2024-01-01T00:00:00":                              false,
		"2024-01-01T24:00:00Z":                             false,
		"2024-01-01T0:00:00Z":                              false,
		"2024-01-01T00:00:00,5Z":                           false,
		"2024-01-01T00:00:00+24:00":                        false,
		"2016-12-31T23:59:60Z":                             false,
		"2024-01-01T00:00:00." + strings.Repeat("1", 50):   false,
		"2024-01-01T00:00:00Z ":                            false,
		"":                                                 false,
		"1704067200":                                       false,
		"2024-01-01T00:00:00\\u005a":                       true,
		"2024-01-01T00:00:00." + "000000000000001" + "Z":   true,
		"12024-01-01T00:00:00Z":                            false,
		"2024-01-01T00:00:00.Z":                            false,
		"2024-01-01T00:00:00.1+00:60":                      false,
		"２０２４-01-01T00:00:00Z":                             false,
		"2024-01-01T00:00:00.000Z\\n":                      false,
		"2024-01-01T00:00:00.5" + "+05:30":                 true,
		"2024-13-01T00:00:00Z":                             false,
		"2024-01-01T00:00:00Z" + strings.Repeat(" ", 1000): false,
	} {
		got, err := (&webhook.Intake{}).One(fmt.Appendf(nil, `{"type":"api_key.created","project_id":"p","data":{},"created_at":"%s"}`, text))
		if (err == nil) != valid {
			t.Errorf("%s: got %v, want valid %v", text, err, valid)
		}
		if want := strings.ReplaceAll(text, `\u005a`, "Z"); err == nil && got.CreatedAt != want {
			t.Errorf("got %s, want %s", got.CreatedAt, want)
		}
	}
}

func TestOneLimitsTheSize(t *testing.T) {
	in := &webhook.Intake{MaxSize: 1000}
	event := func(format string, size int) []byte { return padTo(size, format) }
	const plain = `{"id":"evt_1","created_at":"2024-01-01T00:00:00Z","api_version":"1","type":"api_key.created","project_id":"p","data":{"x":"%s"}}`
	if _, err := in.One(event(plain, 1000)); err != nil {
		t.Errorf("an event of the limit: %v", err)
	}
	_, err := in.One(event(plain, 1001))
	wantItems(t, err, problem.TooLarge, []problem.Item{})

	t.Run("once canonical", func(t *testing.T) {
		growing := fmt.Appendf(nil, `{"type":"api_key.created","project_id":"p","data":{"x":[%s0]}}`, strings.Repeat("1e20,", 50))
		_, err := in.One(growing)
		wantItems(t, err, problem.TooLarge, []problem.Item{})
	})
	t.Run("what is filled in does not count", func(t *testing.T) {
		for _, format := range []string{
			`{"type":"api_key.created","project_id":"p","data":{"x":"%s"}}`,
			`{"type":"project.created","data":{"id":"p","x":"%s"}}`,
			`{"type":"api_key.created","project":{"id":"p","x":"%s"},"data":{}}`,
		} {
			if _, err := in.One(event(format, 1000)); err != nil {
				t.Errorf("%s of the limit: %v", format, err)
			}
			_, err := in.One(event(format, 1001))
			wantItems(t, err, problem.TooLarge, []problem.Item{})
		}
	})
	t.Run("what is stored is never above the ceiling", func(t *testing.T) {
		in := &webhook.Intake{MaxSize: webhook.MaxEventSize}
		const format = `{"type":"project.created","data":{"id":"p","x":"%s"}}`
		_, err := in.One(event(format, webhook.MaxEventSize))
		wantItems(t, err, problem.TooLarge, []problem.Item{})
		input, err := in.One(event(format, webhook.MaxEventSize-200))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(input.Event(acceptedAt, webhook.DefaultAPIVersion).Body); n > webhook.MaxEventSize {
			t.Errorf("the body has %d bytes", n)
		}
	})
	t.Run("before syntax", func(t *testing.T) {
		_, err := in.One([]byte(strings.Repeat("x", 1001)))
		wantItems(t, err, problem.TooLarge, []problem.Item{})
	})
	t.Run("syntax before rules", func(t *testing.T) {
		_, err := in.One([]byte(`{"data":1,"data":2`))
		at := int64(18)
		wantItems(t, err, problem.BadRequest, []problem.Item{{Code: problem.MalformedJSON, Offset: &at}})
	})
	t.Run("the default", func(t *testing.T) {
		in := &webhook.Intake{}
		if _, err := in.One(event(plain, webhook.DefaultMaxSize)); err != nil {
			t.Error(err)
		}
		_, err := in.One(event(plain, webhook.DefaultMaxSize+1))
		wantItems(t, err, problem.TooLarge, []problem.Item{})
	})
	t.Run("no setting goes above the ceiling", func(t *testing.T) {
		in := &webhook.Intake{MaxSize: 10 << 20}
		_, err := in.One(event(plain, webhook.MaxEventSize+1))
		wantItems(t, err, problem.TooLarge, []problem.Item{})
	})
}

func TestOneLimitsDepthAndMembers(t *testing.T) {
	in := &webhook.Intake{DefaultProject: "p"}
	nested := func(levels int) []byte { // levels of the whole event
		return []byte(`{"type":"api_key.created","data":` + strings.Repeat(`{"a":`, levels-2) + "{}" + strings.Repeat("}", levels-2) + "}")
	}
	if _, err := in.One(nested(64)); err != nil {
		t.Errorf("64 levels: %v", err)
	}
	for _, levels := range []int{65, 10_000, 20_000, 40_000} {
		_, err := in.One(nested(levels))
		wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.TooDeep, Pointer: "#/data" + strings.Repeat("/a", 63)}})
	}
	members := func(n int) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":0`, i)
		}
		return []byte(`{"type":"api_key.created","data":{` + b.String()[1:] + "}}")
	}
	if _, err := in.One(members(10_000)); err != nil {
		t.Errorf("10000 members: %v", err)
	}
	_, err := in.One(members(10_001))
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.TooManyMembers, Pointer: "#"}})
}

func TestOnePreservesOnRequest(t *testing.T) {
	body := []byte(`{"type":"api_key.created","project_id":"p","data":{"n":9007199254740993,"m":1e400,"s":"\uD800","f":1.50}}`)
	got, err := (&webhook.Intake{Preserve: true}).One(body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"n":9007199254740993,"m":1e400,"s":"\uD800","f":1.5}`; string(got.Data) != want {
		t.Errorf("got %s, want %s", got.Data, want)
	}
	_, err = (&webhook.Intake{Preserve: true}).One([]byte("{\"type\":\"api_key.created\",\"project_id\":\"p\",\"data\":{\"n\":1,\"n\":1,\"s\":\"\xff\"}}"))
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.InvalidUTF8, Pointer: "#/data/s"}, {Code: problem.DuplicateMember, Pointer: "#/data/n"}})
}

func TestInputDoesNotShareMemoryWithTheBody(t *testing.T) {
	body := []byte(`{"type":"project.created","id":"evt_1","data":{"id":"p"},"created_at":"2024-01-01T00:00:00Z"}`)
	got, err := (&webhook.Intake{}).One(body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	wantInput(t, got, webhook.Input{
		ID: "evt_1", Type: "project.created", ProjectID: "p", CreatedAt: "2024-01-01T00:00:00Z",
		Project: []byte(`{"id":"p"}`), Data: []byte(`{"id":"p"}`),
	})
}

func wantInput(t *testing.T, got, want webhook.Input) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}
