package webhook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

const structured = `{"specversion":"1.0","id":"A234-1234","source":"https://example.com/cloudevents/pull","type":"api_key.created",
	"time":"2024-01-01T00:00:00Z","datacontenttype":"application/json; charset=utf-8","subject":"123","dataschema":null,"projectid":"proj_123",
	"apiversion":"2022-01-01","traceparent":"00-0af7-01","other":7,"data":{"n":1.0}}`

var structuredInput = webhook.Input{
	ID: "A234-1234", Type: "api_key.created", ProjectID: "proj_123", Data: []byte(`{"n":1}`),
	CreatedAt: "2024-01-01T00:00:00Z", APIVersion: "2022-01-01", Source: "https://example.com/cloudevents/pull",
}

func TestCloudEventStructured(t *testing.T) {
	got, err := (&webhook.Intake{}).CloudEvent([]byte(structured))
	if err != nil {
		t.Fatal(err)
	}
	wantInput(t, got, structuredInput)
}

func TestCloudEventAboutAProject(t *testing.T) {
	got, err := (&webhook.Intake{}).CloudEvent([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"project.created","data":{"id":"p"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.ProjectID != "p" || string(got.Project) != `{"id":"p"}` {
		t.Errorf("got %+v", got)
	}
}

func TestCloudEventRefusesWithEveryProblem(t *testing.T) {
	type items = []problem.Item
	item := func(code problem.Code, pointer string) problem.Item {
		return problem.Item{Code: code, Pointer: pointer}
	}
	const rest = `"specversion":"1.0","id":"1","source":"/s","type":"api_key.created","projectid":"p"`
	tests := []struct {
		name, body string
		want       items
	}{
		{"nothing in it", `{}`, items{
			item(problem.Missing, "#/specversion"), item(problem.Missing, "#/id"), item(problem.Missing, "#/source"), item(problem.Missing, "#/type"),
			item(problem.Missing, "#/data"), item(problem.Missing, "#/projectid"),
		}},
		{"attributes that are null", `{"specversion":"1.0","id":null,"source":"/s","type":"api_key.created","projectid":"p","time":null,"data":{}}`, items{item(problem.Missing, "#/id")}},
		{"another version", `{"specversion":"0.3","id":"1","source":"/s","type":"api_key.created","projectid":"p","data":{}}`, items{item(problem.InvalidValue, "#/specversion")}},
		{"wrong types", `{"specversion":1.0,"id":1,"source":[],"type":{},"projectid":true,"time":0,"data":"x"}`, items{
			item(problem.WrongType, "#/specversion"), item(problem.WrongType, "#/id"), item(problem.WrongType, "#/source"), item(problem.WrongType, "#/type"),
			item(problem.WrongType, "#/projectid"), item(problem.WrongType, "#/time"), item(problem.WrongType, "#/data"),
		}},
		{"id outside our characters", `{"specversion":"1.0","id":"a/b","source":"/s","type":"api_key.created","projectid":"p","data":{}}`, items{item(problem.InvalidValue, "#/id")}},
		{"empty source", `{"specversion":"1.0","id":"1","source":"","type":"api_key.created","projectid":"p","data":{}}`, items{item(problem.InvalidValue, "#/source")}},
		{"source with a control character beyond ASCII", `{"specversion":"1.0","id":"1","source":"a\u009bb","type":"api_key.created","projectid":"p","data":{}}`, items{item(problem.InvalidValue, "#/source")}},
		{"source with a line break", `{"specversion":"1.0","id":"1","source":"a\nb","type":"api_key.created","projectid":"p","data":{}}`, items{item(problem.InvalidValue, "#/source")}},
		{"binary data", `{` + rest + `,"data_base64":"e30="}`, items{item(problem.InvalidValue, "#/data_base64")}},
		{"no data", `{` + rest + `}`, items{item(problem.Missing, "#/data")}},
		{"null data", `{` + rest + `,"data":null}`, items{item(problem.WrongType, "#/data")}},
		{"data that is XML", `{` + rest + `,"datacontenttype":"text/xml","data":{}}`, items{item(problem.InvalidValue, "#/datacontenttype")}},
		{"data in another charset", `{` + rest + `,"datacontenttype":"application/json;charset=latin1","data":{}}`, items{item(problem.InvalidValue, "#/datacontenttype")}},
		{"upper-case attribute", `{` + rest + `,"Subject":"x","a-b":1,"data":{}}`, items{item(problem.UnknownMember, "#/Subject"), item(problem.UnknownMember, "#/a-b")}},
		{"ignored attributes are JSON too", `{` + rest + `,"x":1e999,"x":1,"data":{"n":1,"n":2}}`, items{
			item(problem.NumberOverflow, "#/x"), item(problem.DuplicateMember, "#/data/n"), item(problem.DuplicateMember, "#/x"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := (&webhook.Intake{}).CloudEvent([]byte(tt.body))
			wantItems(t, err, problem.Invalid, tt.want)
		})
	}
}

func TestCloudEventDataMayBeAnyJSONType(t *testing.T) {
	for _, mediaType := range []string{"application/json", "text/json", "application/vnd.example+json", "Application/JSON; Charset=UTF-8", `text/json; charset=\"utf-8\"`} {
		body := `{"specversion":"1.0","id":"1","source":"/s","type":"api_key.created","projectid":"p","datacontenttype":"` + mediaType + `","data":{}}`
		if _, err := (&webhook.Intake{}).CloudEvent([]byte(body)); err != nil {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}

func TestCloudEventsJudgesEachEvent(t *testing.T) {
	items, err := (&webhook.Intake{}).CloudEvents([]byte("[" + structured + `,{"specversion":"2.0"},` + structured + "]"))
	if err != nil || len(items) != 3 {
		t.Fatalf("got %d items, %v", len(items), err)
	}
	wantInput(t, items[0].Input, structuredInput)
	wantInput(t, items[2].Input, structuredInput)
	if items[0].Err != nil || items[1].Err == nil || items[2].Err != nil {
		t.Errorf("got %v, %v, %v", items[0].Err, items[1].Err, items[2].Err)
	}
}

func binaryHeader() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "A234-1234", "ce-source": "https://example.com/cloudevents/pull", "ce-type": "api_key.created",
		"ce-time": "2024-01-01T00:00:00Z", "ce-projectid": "proj%5F123", "ce-apiversion": "2022-01-01", "ce-subject": "%zz", "content-type": "application/json", "ce-datacontenttype": "application/json",
	} {
		h.Set(name, value)
	}
	return h
}

func TestCloudEventBinary(t *testing.T) {
	h := binaryHeader()
	if !webhook.IsBinaryCloudEvent(h) || webhook.IsBinaryCloudEvent(http.Header{"Content-Type": {"application/json"}}) {
		t.Error("binary mode is not told apart")
	}
	got, err := (&webhook.Intake{}).BinaryCloudEvent(h, []byte(` { "n": 1.0 } `))
	if err != nil {
		t.Fatal(err)
	}
	wantInput(t, got, structuredInput)
}

func TestCloudEventBinaryAboutAProject(t *testing.T) {
	h := binaryHeader()
	h.Set("ce-type", "project.created")
	h.Del("ce-projectid")
	got, err := (&webhook.Intake{}).BinaryCloudEvent(h, []byte(`{"a":{"id":"x"},"id":"p","7":0}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"7":0,"a":{"id":"x"},"id":"p"}`; got.ProjectID != "p" || string(got.Project) != want || string(got.Data) != want {
		t.Errorf("got %+v", got)
	}
	_, err = (&webhook.Intake{}).BinaryCloudEvent(h, []byte(`{"id":"p q"}`))
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/id"}})
}

func TestCloudEventBinaryRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(http.Header)
		body   string
		code   problem.Code
		detail string // in a detail
	}{
		{"missing id", func(h http.Header) { h.Del("ce-id") }, `{}`, problem.Invalid, "ce-id"},
		{"missing source", func(h http.Header) { h.Del("ce-source") }, `{}`, problem.Invalid, "ce-source"},
		{"missing project", func(h http.Header) { h.Del("ce-projectid") }, `{}`, problem.Invalid, "ce-projectid"},
		{"repeated type", func(h http.Header) { h.Add("ce-type", "api_key.created") }, `{}`, problem.Invalid, "ce-type"},
		{"broken encoding", func(h http.Header) { h.Set("ce-id", "%zz") }, `{}`, problem.Invalid, "ce-id"},
		{"bad time", func(h http.Header) { h.Set("ce-time", "now") }, `{}`, problem.Invalid, "ce-time"},
		{"version", func(h http.Header) { h.Set("ce-specversion", "1.1") }, `{}`, problem.Invalid, "ce-specversion"},
		{"data that is XML", func(h http.Header) { h.Set("ce-datacontenttype", "text/xml") }, `{}`, problem.Invalid, "ce-datacontenttype"},
		{"data is no object", func(http.Header) {}, `[]`, problem.Invalid, "object"},
		{"data is not JSON", func(http.Header) {}, `<x/>`, problem.BadRequest, "JSON"},
		{"data is too deep", func(http.Header) {}, strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63), problem.Invalid, "64 levels"},
		{"data is too large", func(http.Header) {}, string(padTo(webhook.DefaultMaxSize+1, `{"a":"%s"}`)), problem.TooLarge, "bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := binaryHeader()
			tt.change(h)
			_, err := (&webhook.Intake{}).BinaryCloudEvent(h, []byte(tt.body))
			pe := problem.From(err)
			if pe.Code != tt.code || !strings.Contains(pe.Error(), tt.detail) {
				t.Errorf("got %v, want %s about %s", err, tt.code, tt.detail)
			}
			for _, it := range pe.Items {
				if strings.Contains(it.Pointer, "ce-") {
					t.Errorf("a header is no pointer: %s", it.Pointer)
				}
			}
		})
	}
}
