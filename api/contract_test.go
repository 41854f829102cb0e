package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tengineai/webhook-gateway/api"
	"github.com/tengineai/webhook-gateway/problem"
)

// openAPI judges answers by the document that is served.
type openAPI struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	met      map[string]bool // "GET /webhooks/{id} 200"
}

const documentURL = "https://example.com/openapi.json"

func newOpenAPI(t *testing.T, text []byte) *openAPI {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &openAPI{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), met: make(map[string]bool)}
	o.compiler.DefaultDraft(jsonschema.Draft2020)
	o.compiler.AssertFormat()
	if err := o.compiler.AddResource(documentURL, doc); err != nil {
		t.Fatal(err)
	}
	return o
}

// object returns an object within the document by its keys, following one
// reference at its end.
func (o *openAPI) object(keys ...string) (map[string]any, []string) {
	var v any = o.doc
	for _, key := range keys {
		members, _ := v.(map[string]any)
		v = members[key]
	}
	found, _ := v.(map[string]any)
	if ref, ok := found["$ref"].(string); ok {
		return o.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return found, keys
}

// operation returns the path template that a path belongs to.
func (o *openAPI) template(path string) (string, bool) {
	paths, _ := o.object("paths")
	segments := strings.Split(path, "/")
	for template := range paths {
		parts := strings.Split(template, "/")
		if slices.EqualFunc(parts, segments, func(part, segment string) bool {
			return part == segment || strings.HasPrefix(part, "{") && segment != ""
		}) {
			return template, true
		}
	}
	return "", false
}

// check holds an answer against the document: the status is documented, so is
// the media type, and the body is valid by its schema.
func (o *openAPI) check(r reply) error {
	path, _, _ := strings.Cut(strings.TrimPrefix(r.path, api.DefaultPrefix), "?")
	template, ok := o.template(path)
	if !ok || r.StatusCode == 405 || r.StatusCode == 299 {
		return nil
	}
	method := strings.ToLower(r.method)
	if method == "head" {
		return nil
	}
	status := fmt.Sprint(r.StatusCode)
	response, keys := o.object("paths", template, method, "responses", status)
	if response == nil {
		return fmt.Errorf("status %s is not documented", status)
	}
	o.met[strings.ToUpper(method)+" "+template+" "+status] = true
	contents, _ := response["content"].(map[string]any)
	if contents == nil {
		if len(r.body) > 0 {
			return fmt.Errorf("there is a body: %s", r.body)
		}
		return nil
	}
	mediaType := r.Header.Get("Content-Type")
	if contents[mediaType] == nil {
		return fmt.Errorf("media type %q is not documented", mediaType)
	}
	at := documentURL + problem.Pointer(append(keys, "content", mediaType, "schema")...)
	schema, err := o.compiler.Compile(at)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// successes returns the documented answers of every operation that are no
// errors: "GET /webhooks/{id} 200".
func (o *openAPI) successes() []string {
	var list []string
	paths, _ := o.object("paths")
	for template, item := range paths {
		for method := range item.(map[string]any) {
			responses, _ := o.object("paths", template, method, "responses")
			for status := range responses {
				if status < "400" {
					list = append(list, strings.ToUpper(method)+" "+template+" "+status)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// TestEveryAnswerIsAsDocumented calls every operation, wrongly and rightly. The
// world judges each answer by the document.
func TestEveryAnswerIsAsDocumented(t *testing.T) {
	w := newWorld(t)
	w.want(200, w.do("GET", "/api/v1/openapi.json", "", "Authorization", ""))
	w.want(200, w.do("GET", "/api/v1/health", "", "Authorization", ""))
	w.want(200, w.do("GET", "/api/v1/egress-ips", "", "Authorization", ""))
	w.want(200, w.do("GET", "/api/v1/event-types", ""))

	w.want(200, w.do("POST", "/api/v1/projects/acme/dashboard-links", ""))

	id := w.create("acme", "")
	w.want(200, w.do("GET", "/api/v1/projects/acme/webhooks", ""))
	w.want(200, w.do("GET", "/api/v1/webhooks/"+id, ""))
	w.want(200, w.do("GET", "/api/v1/webhooks/wh_static", ""))
	w.want(200, w.do("PATCH", "/api/v1/webhooks/"+id, `{"description":"d","retry":[],"timeout":"3s"}`, "Content-Type", "application/merge-patch+json"))
	w.want(200, w.do("POST", "/api/v1/webhooks/"+id+"/rotate-secret", ``))
	delivery := w.want(200, w.do("POST", "/api/v1/webhooks/"+id+"/test", ``)).text(t, "id")
	w.want(200, w.do("GET", "/api/v1/webhooks/"+id+"/deliveries", ""))
	w.want(200, w.do("GET", "/api/v1/deliveries/"+delivery, ""))

	// What is skipped waits for nobody but a retry.
	w.want(200, w.do("PATCH", "/api/v1/webhooks/"+id, `{"status":"disabled"}`))
	event := w.publish(`{"type":"project.created","data":{"id":"acme","name":"A"}}`)
	skipped := w.want(200, w.do("GET", "/api/v1/webhooks/"+id+"/deliveries?status=skipped&event_id="+event, "")).get(t, "data").([]any)
	w.want(202, w.do("POST", "/api/v1/deliveries/"+skipped[0].(map[string]any)["id"].(string)+"/retry", ""))
	w.want(409, w.do("POST", "/api/v1/deliveries/"+delivery+"/retry", "")) // a test event
	w.want(200, w.do("GET", "/api/v1/projects/acme/events", ""))
	w.want(200, w.do("GET", "/api/v1/events/"+event, ""))
	w.want(200, w.do("POST", "/api/v1/filters/test", `{"filter":"data.id == \"acme\"","event_id":"`+event+`","project_id":"acme"}`))
	w.want(200, w.do("POST", "/api/v1/filters/test", `{"filter":"data.n > 3","event":{"type":"project.created","data":{"id":"acme"}}}`))
	w.want(200, w.do("PATCH", "/api/v1/webhooks/"+id, `{"status":"active"}`))
	w.want(200, w.do("POST", "/api/v1/webhooks/"+id+"/replay", `{"since":"2024-01-01T00:00:00Z","dry_run":true}`))
	replay := w.want(202, w.do("POST", "/api/v1/webhooks/"+id+"/replay", `{"since":"2024-01-01T00:00:00Z","status":["delivered","skipped"]}`)).text(t, "id")
	w.want(200, w.do("GET", "/api/v1/replays/"+replay, ""))
	w.want(200, w.do("DELETE", "/api/v1/replays/"+replay, ""))
	w.wrongly(id, delivery, event, replay)
	w.want(204, w.do("DELETE", "/api/v1/webhooks/"+id, ""))

	for _, answer := range w.document.successes() {
		if !w.document.met[answer] && !strings.HasSuffix(answer, "/health 503") {
			t.Errorf("no call was answered %s", answer)
		}
	}
}

// wrongly calls every operation in every wrong way.
func (w *world) wrongly(id, delivery, event, replay string) {
	w.t.Helper()
	paths, _ := w.document.object("paths")
	for _, template := range slices.Sorted(maps.Keys(paths)) {
		value := id
		switch {
		case strings.HasPrefix(template, "/deliveries"):
			value = delivery
		case strings.HasPrefix(template, "/events"):
			value = event
		case strings.HasPrefix(template, "/replays"):
			value = replay
		}
		path := api.DefaultPrefix + strings.NewReplacer("{project_id}", "acme", "{id}", value).Replace(template)
		absent := api.DefaultPrefix + strings.NewReplacer("{project_id}", "no%20project", "{id}", "nothing").Replace(template)
		for method, item := range paths[template].(map[string]any) {
			method = strings.ToUpper(method)
			keyless := len(item.(map[string]any)["security"].([]any)[0].(map[string]any)) == 0
			hasBody := item.(map[string]any)["requestBody"] != nil || method == "POST"
			w.wantKey(method, path, keyless)
			if path != absent && !keyless {
				w.want(404, w.do(method, absent, ""))
				w.want(404, w.do(method, absent+"?what=1", "{"))
			}
			w.want(422, w.do(method, path+"?what=1", jsonIf(hasBody)))
			w.want(400, w.do(method, path+"?what=%zz", jsonIf(hasBody)))
			if !hasBody {
				continue
			}
			w.want(415, w.do(method, path, "{}", "Content-Type", "text/plain"))
			w.want(415, w.do(method, path, "{}", "Content-Type", "application/json; charset=latin1"))
			w.want(415, w.do(method, path, "{}", "Content-Encoding", "gzip"))
			w.want(413, w.do(method, path, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`))
			w.want(400, w.do(method, path, "{"))
			w.want(400, w.do(method, path, "\ufeff{}"))
			w.want(422, w.do(method, path, "[]"))
			w.want(422, w.do(method, path, `{"Url":1}`))
			w.want(422, w.do(method, path, `{"url":"https://hush.example/","url":"`+"\xff"+`"}`))
		}
	}
}

func (w *world) wantKey(method, path string, keyless bool) {
	w.t.Helper()
	if keyless {
		return
	}
	w.want(401, w.do(method, path, "", "Authorization", ""))
	w.want(401, w.do(method, path+"?what=1", "{", "Authorization", "Bearer hush-no-key-of-this-gateway"))
	if method == "GET" {
		w.want(403, w.do(method, path+"?what=1", "", "Authorization", "Bearer "+writeKey))
	} else if !strings.HasSuffix(path, "/filters/test") && !strings.HasSuffix(path, "/dashboard-links") { // which need no more
		w.want(403, w.do(method, path+"?what=1", "{", "Authorization", "Bearer "+readKey))
	}
}

func jsonIf(yes bool) string {
	if yes {
		return "{}"
	}
	return ""
}

func TestEnumsAreThoseOfTheCode(t *testing.T) {
	w := newWorld(t)
	for _, enum := range enums() {
		property, _ := w.document.object("components", "schemas", enum.schema, "properties", enum.property)
		var got []string
		for _, v := range property["enum"].([]any) {
			if text, ok := v.(string); ok {
				got = append(got, text)
			}
		}
		if !slices.Equal(got, enum.want) {
			t.Errorf("%s.%s: %q, want %q", enum.schema, enum.property, got, enum.want)
		}
	}
}

func TestExamplesAreValid(t *testing.T) {
	w := newWorld(t)
	paths, _ := w.document.object("paths")
	examples := 0
	for template, item := range paths {
		for method, op := range item.(map[string]any) {
			body, _ := op.(map[string]any)["requestBody"].(map[string]any)
			responses, _ := w.document.object("paths", template, method, "responses")
			for status := range responses {
				response, _ := w.document.object("paths", template, method, "responses", status)
				examples += w.checkExamples(response)
			}
			examples += w.checkExamples(body)
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples", examples)
	}
}

func (w *world) checkExamples(of map[string]any) int {
	w.t.Helper()
	contents, _ := of["content"].(map[string]any)
	n := 0
	for _, c := range contents {
		media := c.(map[string]any)
		example, ok := media["example"]
		if !ok {
			continue
		}
		n++
		ref := media["schema"].(map[string]any)["$ref"].(string)
		schema, err := w.document.compiler.Compile(documentURL + ref)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := schema.Validate(example); err != nil {
			text, _ := json.Marshal(example)
			w.t.Errorf("%s: %s: %v", ref, text, err)
		}
	}
	return n
}
