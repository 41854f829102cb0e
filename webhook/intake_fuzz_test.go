package webhook_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestCanonicalIsItsOwnCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		checkFixedPoint(t, seededDocument(seed))
	})
}

func FuzzCanonical(f *testing.F) {
	for _, doc := range handPicked() {
		f.Add(doc)
	}
	for seed := range uint64(50) {
		f.Add(seededDocument(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { checkFixedPoint(t, doc) })
}

func FuzzOne(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(bad))
	f.Add([]byte(`{"type":"project.created","data":{"id":"p","7":[{"a":"\ud83d\ude00"}]},"project":{"id":"p","n":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, in := range []*webhook.Intake{{}, {DefaultProject: "main", Preserve: true, Catalogue: webhook.Builtin().Any(), MaxSize: 4096}} {
			input, err := in.One(body)
			checkItem(t, in, webhook.Item{Input: input, Err: asProblem(t, err)})
		}
	})
}

func FuzzArray(f *testing.F) {
	f.Add([]byte("[" + good + "," + bad + ",[]]"))
	f.Add([]byte("[]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in := &webhook.Intake{DefaultProject: "main", MaxBatch: 100}
		items, err := in.Array(body)
		checkBatch(t, in, items, asProblem(t, err))
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(good + "\n\n" + bad + "\r\n"))
	f.Add([]byte("\t" + good + " \r\n\f\n\u00a0\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in := &webhook.Intake{DefaultProject: "main", MaxBatch: 100}
		items, err := in.Lines(body)
		checkBatch(t, in, items, asProblem(t, err))
	})
}

func FuzzCloudEvents(f *testing.F) {
	f.Add([]byte(structured), "1")
	f.Add([]byte("["+structured+"]"), "a%20b")
	f.Add([]byte(`{"n":1}`), "x")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		in := &webhook.Intake{DefaultProject: "main"}
		input, err := in.CloudEvent(body)
		checkItem(t, in, webhook.Item{Input: input, Err: asProblem(t, err)})
		items, err := in.CloudEvents(body)
		checkBatch(t, in, items, asProblem(t, err))
		h := binaryHeader()
		h.Set("ce-id", id)
		input, err = in.BinaryCloudEvent(h, body)
		checkItem(t, in, webhook.Item{Input: input, Err: asProblem(t, err)})
	})
}

func seededDocument(seed uint64) []byte { return newGenerator(seed).document() }

// checkFixedPoint checks that doc is refused for good reasons, or that its
// canonical form is its own canonical form.
func checkFixedPoint(t interface {
	Helper()
	Fatalf(string, ...any)
}, doc []byte) {
	t.Helper()
	before := bytes.Clone(doc)
	for _, preserve := range []bool{false, true} {
		once, err := webhook.Canonical(doc, preserve)
		if !bytes.Equal(doc, before) {
			t.Fatalf("the document was changed: %q", before)
		}
		if err != nil {
			pe, ok := errors.AsType[*problem.Error](err)
			if !ok || len(pe.Items) == 0 || pe.Code != problem.Invalid && pe.Code != problem.BadRequest {
				t.Fatalf("%q: %v", doc, err)
			}
			continue
		}
		twice, err := webhook.Canonical(once, preserve)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q (preserve %v)\nonce  %q\ntwice %q, %v", doc, preserve, once, twice, err)
		}
	}
}

func asProblem(t *testing.T, err error) *problem.Error {
	t.Helper()
	if err == nil {
		return nil
	}
	pe, ok := errors.AsType[*problem.Error](err)
	if !ok {
		t.Fatalf("not a problem: %v", err)
	}
	return pe
}

func checkBatch(t *testing.T, in *webhook.Intake, items []webhook.Item, err *problem.Error) {
	t.Helper()
	if err != nil {
		if items != nil {
			t.Fatal("both items and an error")
		}
		checkProblem(t, err)
	}
	for _, item := range items {
		checkItem(t, in, item)
	}
}

// checkItem checks what holds for every event that was taken.
func checkItem(t *testing.T, in *webhook.Intake, item webhook.Item) {
	t.Helper()
	if item.Err != nil {
		checkProblem(t, item.Err)
		return
	}
	if item.ID != "" && !webhook.ValidEventID(item.ID) || !webhook.ValidProjectID(item.ProjectID) || !webhook.ValidEventType(item.Type) {
		t.Fatalf("taken: %+v", item.Input)
	}
	e := item.Event(acceptedAt, webhook.DefaultAPIVersion)
	limit := in.MaxSize
	if limit == 0 {
		limit = webhook.DefaultMaxSize
	}
	const filledIn = 600 // or in the headers of a binary CloudEvent, and less
	if len(e.Body) > min(limit+filledIn, webhook.MaxEventSize) {
		t.Fatalf("a body of %d bytes was taken", len(e.Body))
	}
	if !bytes.Equal(e.Data(), item.Data) || !item.SameContent(&e) {
		t.Fatalf("the event is not its input: %+v", e)
	}
	for _, doc := range [][]byte{e.Body, e.Context} {
		if doc == nil {
			continue
		}
		if canonical, err := webhook.Canonical(doc, in.Preserve); err != nil || !bytes.Equal(canonical, doc) {
			t.Fatalf("not canonical: %q, %v", doc, err)
		}
	}
}

func checkProblem(t *testing.T, err *problem.Error) {
	t.Helper()
	switch err.Code {
	case problem.TooLarge:
	case problem.BadRequest, problem.Invalid:
		if len(err.Items) == 0 || len(err.Items) > 20 {
			t.Fatalf("%d items: %v", len(err.Items), err)
		}
	default:
		t.Fatalf("code %s", err.Code)
	}
	for _, it := range err.Items {
		if len(it.Pointer) > 1100 || it.Code == "" || it.Detail == "" {
			t.Fatalf("item %+v", it)
		}
	}
}
