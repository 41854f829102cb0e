package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/problem"
)

const page = "../docs/problems.md"

// TestPageExplainsExactlyTheCodes holds docs/problems.md, the list that is part
// of the contract, equal to the constants of the package.
func TestPageExplainsExactlyTheCodes(t *testing.T) {
	var want []string
	for _, c := range declaredCodes(t) {
		want = append(want, string(c))
	}
	var got []string
	for _, s := range sections(t) {
		got = append(got, s.code)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s and codes.go differ (-codes.go +page):\n%s", page, diff)
	}
}

func TestPageGivesStatusAndTitle(t *testing.T) {
	for _, s := range sections(t) {
		doc := problem.New(problem.Code(s.code), "").Document()
		isRequestCode := doc.Status != 0
		if !isRequestCode {
			if strings.Contains(s.text, "Status ") {
				t.Errorf("%s is the code of an item and has no status, but the page gives one", s.code)
			}
			continue
		}
		want := fmt.Sprintf("Status %d: %s.\n", doc.Status, doc.Title)
		if !strings.HasPrefix(s.text, want) {
			t.Errorf("section %s does not begin with %q", s.code, want)
		}
	}
}

func TestPageSaysWhatToDo(t *testing.T) {
	for _, s := range sections(t) {
		if !strings.Contains(s.text, "*Do") {
			t.Errorf("section %s does not say what to do", s.code)
		}
	}
}

func TestDocumentOfEveryRequestCodeIsComplete(t *testing.T) {
	for _, code := range requestCodes(t) {
		rec := httptest.NewRecorder()
		problem.Write(rec, problem.New(code, "What went wrong."))

		var got map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		if text, _ := got["title"].(string); text == "" {
			t.Errorf("%s: no title", code)
		}
		delete(got, "title")
		want := map[string]any{
			"type":   "https://github.com/tengineai/webhook-gateway/problems/" + string(code),
			"status": float64(rec.Code),
			"detail": "What went wrong.",
			"code":   string(code),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
		if rec.Code < 400 || rec.Code > 599 {
			t.Errorf("%s: status %d is no error", code, rec.Code)
		}
	}
}

func TestWriteSetsHeaders(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("X-Request-Id", "r1")
	problem.Write(rec, problem.New(problem.NotFound, ""))

	want := http.Header{
		"X-Request-Id":   {"r1"},
		"Content-Type":   {"application/problem+json"},
		"Cache-Control":  {"no-store"},
		"Content-Length": {strconv.Itoa(rec.Body.Len())},
	}
	if diff := cmp.Diff(want, rec.Header()); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestWriteRoundsRetryAfterUp(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0:                       "",
		time.Millisecond:        "1",
		time.Second:             "1",
		1001 * time.Millisecond: "2",
	} {
		rec := httptest.NewRecorder()
		problem.Write(rec, &problem.Error{Code: problem.Unavailable, RetryAfter: wait})
		if got := rec.Header().Get("Retry-After"); got != want {
			t.Errorf("RetryAfter %v: header %q, want %q", wait, got, want)
		}
	}
}

func TestWriteListsAllowedMethods(t *testing.T) {
	rec := httptest.NewRecorder()
	problem.Write(rec, &problem.Error{Code: problem.MethodNotAllowed, Allow: []string{"GET", "PATCH"}})
	if got, want := rec.Header().Get("Allow"), "GET, PATCH"; got != want {
		t.Errorf("Allow %q, want %q", got, want)
	}
}

func TestWriteGivesEachItemItsPlace(t *testing.T) {
	rec := httptest.NewRecorder()
	problem.Write(rec, problem.New(problem.Invalid, "",
		problem.Item{Code: problem.Missing, Detail: "a", Pointer: "#/type"},
		problem.Item{Code: problem.UnknownParam, Detail: "b", Parameter: "limit"},
		problem.Item{Code: problem.InvalidFilter, Detail: "c", Line: 2, Column: 7},
		problem.Item{Code: problem.MalformedJSON, Detail: "d", Offset: new(int64)},
	))
	var got struct {
		Errors []map[string]any `json:"errors"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"code": "missing", "detail": "a", "pointer": "#/type"},
		{"code": "unknown_parameter", "detail": "b", "parameter": "limit"},
		{"code": "invalid_filter", "detail": "c", "line": 2.0, "column": 7.0},
		{"code": "malformed_json", "detail": "d", "offset": 0.0},
	}
	if diff := cmp.Diff(want, got.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestADocumentIsBounded(t *testing.T) {
	items := make([]problem.Item, 250)
	for i := range items {
		items[i] = problem.Item{Code: problem.UnknownMember, Detail: "No.", Pointer: "#/filters/" + strings.Repeat("x", i*100)}
	}
	doc := problem.New(problem.Invalid, "Wrong.", items...).Document()
	if len(doc.Errors) != 100 || doc.Detail != "Wrong. Of 250 problems the first 100 are listed." {
		t.Errorf("%d items, detail %q", len(doc.Errors), doc.Detail)
	}
	if got, want := doc.Errors[10].Pointer, items[10].Pointer; got != want {
		t.Errorf("a pointer of %d bytes became one of %d", len(want), len(got))
	}
	if got := doc.Errors[11].Pointer; got != "#/filters" {
		t.Errorf("a long pointer became %.100q", got)
	}
	if len(items[11].Pointer) < 1000 {
		t.Error("the error itself was changed")
	}
	if doc := problem.New(problem.NotFound, "").Document(); doc.Errors != nil {
		t.Errorf("no items became %v", doc.Errors)
	}
}

func TestWriteFindsTheProblemInsideAnError(t *testing.T) {
	rec := httptest.NewRecorder()
	problem.Write(rec, fmt.Errorf("publish event evt_1: %w", problem.New(problem.DiskFull, "")))
	if rec.Code != http.StatusInsufficientStorage {
		t.Errorf("status %d, want 507", rec.Code)
	}
}

func TestWriteTellsNothingOfOtherErrors(t *testing.T) {
	rec := httptest.NewRecorder()
	problem.Write(rec, errors.New("open /var/lib/secret: permission denied"))
	if rec.Code != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", rec.Code)
	}
	if strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("the answer repeats the cause: %s", rec.Body)
	}
}

func TestWriteToHEADSendsNoBody(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.New(problem.NotFound, ""))
	}))
	defer srv.Close()

	res, err := srv.Client().Head(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound || res.ContentLength <= 0 {
		t.Errorf("status %d, Content-Length %d; want 404 and the length a GET would have", res.StatusCode, res.ContentLength)
	}
}

func TestErrorTextNamesCodeDetailAndPlaces(t *testing.T) {
	err := problem.New(problem.Invalid, "2 faults.",
		problem.Item{Detail: "is required", Pointer: "#/type"},
		problem.Item{Detail: "no such parameter", Parameter: "limit"},
	)
	want := "invalid: 2 faults.: #/type: is required; no such parameter"
	if got := err.Error(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// section is what the page says about one code.
type section struct {
	code string
	text string // from after the heading to the next one
}

var heading = regexp.MustCompile("(?m)^### `([a-z0-9_]+)`\n\n")

func sections(t *testing.T) []section {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	marks := heading.FindAllSubmatchIndex(b, -1)
	for i, m := range marks {
		end := len(b)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		out = append(out, section{code: string(b[m[2]:m[3]]), text: string(b[m[1]:end])})
	}
	return out
}

// declaredCodes returns the constants of type Code in the order of codes.go.
// It reads the source, so that a constant cannot be forgotten in a list.
func declaredCodes(t *testing.T) []problem.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []problem.Code
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			if typ, ok := value.Type.(*ast.Ident); !ok || typ.Name != "Code" {
				t.Fatalf("codes.go: constant %s is not of type Code", value.Names[0])
			}
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, problem.Code(text))
		}
	}
	if len(out) == 0 {
		t.Fatal("codes.go: no constants found")
	}
	return out
}

func requestCodes(t *testing.T) []problem.Code {
	t.Helper()
	return slices.DeleteFunc(declaredCodes(t), func(c problem.Code) bool {
		return problem.New(c, "").Status() == 0
	})
}

func TestAnItemCodeIsNoRequestCode(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, problem.New(problem.TooDeep, "It is nested too deep."))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got %d, want %d", w.Code, http.StatusInternalServerError)
	}
}

func TestListsOfCodesHaveThemAll(t *testing.T) {
	listed := append(problem.RequestCodes(), problem.ItemCodes()...)
	slices.Sort(listed)
	declared := declaredCodes(t)
	slices.Sort(declared)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("(-declared +listed)\n%s", diff)
	}
}
