package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/problem"
)

// bearer names the security scheme.
const bearer = "apiKey"

// humaConfig returns the configuration of huma: nothing of what it would add by
// itself, no routes and no members.
func humaConfig(prefix string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Webhook gateway: management API",
				Version: "1",
				Description: "Webhooks of projects, their deliveries, and what to do when one fails. Every error is a problem document (RFC 9457) " +
					"that lists all problems of a request. Requests are judged in this order: the key, its scope, whether the resource is there, the request itself.",
			},
			Servers: []*huma.Server{{URL: prefix}},
			Components: &huma.Components{
				Schemas:   huma.NewMapRegistry("#/components/schemas/", schemaName),
				Responses: make(map[string]*huma.Response),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					bearer: {Type: "http", Scheme: "bearer", Description: "An API key with the scope that the call asks for."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// schemaName names the schema of a type: "Webhook" of wireWebhook.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[problem.Document]():
		return "Problem"
	case reflect.TypeFor[problem.Item]():
		return "ProblemItem"
	}
	name := t.Name()
	if name == "" {
		return hint
	}
	if inner, ok := strings.CutPrefix(name, "list["); ok {
		inner = strings.TrimSuffix(inner, "]")
		inner = inner[strings.LastIndexByte(inner, '.')+1:]
		return schemaWord(inner) + "List"
	}
	return schemaWord(name)
}

func schemaWord(name string) string {
	for _, prefix := range []string{"wire", "Wire"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// document returns what huma needs to know of an operation.
func (op *operation[B]) document(o *huma.OpenAPI) huma.Operation {
	doc := huma.Operation{
		OperationID:        op.id,
		Method:             op.method,
		Path:               op.path,
		Summary:            op.summary,
		Description:        op.description,
		DefaultStatus:      op.status,
		SkipValidateParams: true, // checkQuery has validated them
		Responses:          make(map[string]*huma.Response),
	}
	if doc.DefaultStatus == 0 {
		doc.DefaultStatus = http.StatusOK
	}
	if op.scope != "" {
		doc.Security = []map[string][]string{{bearer: {}}}
		scope := "Needs the scope `" + string(op.scope) + "`."
		doc.Description = strings.TrimSpace(doc.Description + " " + scope)
	} else {
		doc.Security = []map[string][]string{{}}
	}
	for _, status := range op.documented() {
		doc.Responses[strconv.Itoa(status)] = &huma.Response{Ref: problemResponse(o, status)}
	}
	return doc
}

// documented returns the statuses of failure that the operation can have.
func (op *operation[B]) documented() []int {
	list := []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError}
	if op.also.status != http.StatusServiceUnavailable {
		list = append(list, http.StatusServiceUnavailable)
	}
	if op.scope != "" {
		list = append(list, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
		if op.method != http.MethodGet {
			list = append(list, http.StatusInsufficientStorage)
		}
	}
	if strings.Contains(op.path, "{") {
		list = append(list, http.StatusNotFound)
	}
	if op.readsBody() {
		list = append(list, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	list = append(list, op.errors...)
	slices.Sort(list)
	return slices.Compact(list)
}

// problemResponse returns the reference to the response of a status of failure.
func problemResponse(o *huma.OpenAPI, status int) string {
	name := strings.ReplaceAll(http.StatusText(status), " ", "")
	if o.Components.Responses[name] == nil {
		codes := make([]string, 0, 2)
		for _, c := range problem.RequestCodes() {
			if problem.New(c, "").Status() == status {
				codes = append(codes, "`"+string(c)+"`")
			}
		}
		r := &huma.Response{
			Description: http.StatusText(status) + ". Code " + strings.Join(codes, " or ") + ".",
			Content: map[string]*huma.MediaType{
				"application/problem+json": {Schema: o.Components.Schemas.Schema(reflect.TypeFor[problem.Document](), true, "")},
			},
		}
		switch status {
		case http.StatusUnauthorized:
			r.Headers = map[string]*huma.Header{"WWW-Authenticate": {Schema: &huma.Schema{Type: huma.TypeString}}}
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
			r.Headers = map[string]*huma.Header{"Retry-After": {
				Description: "Seconds to wait, where they are known.", Schema: &huma.Schema{Type: huma.TypeInteger},
			}}
		}
		o.Components.Responses[name] = r
	}
	return "#/components/responses/" + name
}

// describe adds to an operation that is registered what huma would otherwise
// act upon: with a body in its documentation it would read the body itself.
func (op *operation[B]) describe(o *huma.OpenAPI) {
	doc := operationOf(o.Paths[op.path], op.method)
	success := doc.Responses[strconv.Itoa(doc.DefaultStatus)]
	if op.also.status != 0 {
		same := *success
		same.Description = op.also.meaning
		doc.Responses[strconv.Itoa(op.also.status)] = &same
	}
	if op.response != nil {
		success.Content["application/json"].Example = asAnswered(op.response)
	}
	if !op.takesBody() {
		return
	}
	media := &huma.MediaType{Schema: o.Components.Schemas.Schema(reflect.TypeFor[B](), true, ""), Example: op.request}
	doc.RequestBody = &huma.RequestBody{Required: !op.optional, Content: make(map[string]*huma.MediaType)}
	for _, t := range mediaTypes {
		doc.RequestBody.Content[t] = media
	}
}

// asAnswered encodes an example as answers are, not as the document is.
func asAnswered(v any) json.RawMessage {
	var b bytes.Buffer
	if err := jsonFormat.Marshal(&b, v); err != nil {
		panic(fmt.Sprintf("api: example of %T: %v", v, err))
	}
	return b.Bytes()
}

func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPatch:
		return item.Patch
	default:
		return item.Delete
	}
}

// documentPath is where the document is served.
const documentPath = "/openapi.json"

// describeDocument adds the document's own route, which huma does not serve.
func describeDocument(o *huma.OpenAPI) {
	op := operation[noBody]{
		id: "get-openapi", method: http.MethodGet, path: documentPath,
		summary: "Read this document", description: "OpenAPI 3.1. No key is needed.",
	}
	doc := op.document(o)
	delete(doc.Responses, strconv.Itoa(http.StatusServiceUnavailable)) // it waits for nothing
	doc.Responses["200"] = &huma.Response{
		Description: http.StatusText(http.StatusOK),
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
	}
	o.AddOperation(&doc)
}

// finishDocument puts into the schemas what tags cannot say.
func finishDocument(o *huma.OpenAPI) {
	schemas := o.Components.Schemas.Map()
	for _, s := range schemas {
		for _, p := range s.Properties {
			if p.Nullable && len(p.Enum) > 0 {
				p.Enum = append(p.Enum, nil)
			}
		}
	}
	// huma documents an error type of its own for errors that it would write.
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")

	document := schemas["Problem"].Properties
	document["type"].Description = "Names the code; docs/problems.md explains it."
	document["code"].Enum = codeValues(problem.RequestCodes())
	document["detail"].Description = "What went wrong and what to do about it."
	document["errors"].Nullable = false
	document["errors"].Description = "Every problem of the request."
	item := schemas["ProblemItem"].Properties
	item["code"].Enum = codeValues(problem.ItemCodes())
	item["pointer"].Description = "A JSON pointer in URI fragment form (RFC 6901) to the member it is about."
	item["parameter"].Description = "The query parameter it is about."
	item["line"].Description = "In a filter, from 1; so is column."
	item["offset"].Description = "The byte of a syntax error, from 0."
}

func codeValues(codes []problem.Code) []any {
	values := make([]any, len(codes))
	for i, c := range codes {
		values[i] = string(c)
	}
	return values
}
