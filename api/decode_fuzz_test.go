package api

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/problem"
)

// FuzzDecode feeds the decoder with any body. Nothing makes it panic; what is no
// JSON is a bad request; every problem has a place and a sentence; what was read
// without a problem is read alike again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, `null`, `{`, "\ufeff{}", `{"url":"https://example.com","events":["*"],"secret":null}`,
		`{"headers":{"X-A":"1","x-a":"2"},"filters":{"a.b":[1,null,"x"]},"retry":["1m","2d",3],"timeout":"90s"}`,
		`{"url":"\ud800","url":"` + "\xff" + `","Url":1}`, `{"rate_limit":"50/s","concurrency":1e2,"status":"paused"}`,
		`{"since":"2024-01-01T00:00:00Z","status":["failed"],"dry_run":true}`, `{"event":{"type":"x","data":{"n":9007199254740993}}}`,
		`{"retry":["` + strings.Repeat("9", 40) + `d","-1d","1d1d","d",".d","1e5d"]}`, strings.Repeat(`{"a":`, 70) + `1` + strings.Repeat(`}`, 70),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, preserve bool) {
		fuzzBody[creation](t, text, preserve)
		fuzzBody[change](t, text, preserve)
		fuzzBody[rotation](t, text, preserve)
		fuzzBody[testEvent](t, text, preserve)
		fuzzBody[replayRequest](t, text, preserve)
		fuzzBody[filterTest](t, text, preserve)
		fuzzBody[newKey](t, text, preserve)
	})
}

func fuzzBody[B any](t *testing.T, text string, preserve bool) {
	body, again := new(B), new(B)
	items, err := decode([]byte(text), body, preserve)
	if err != nil {
		if code := problem.From(err).Code; code != problem.BadRequest {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	for _, it := range items {
		if !strings.HasPrefix(it.Pointer, "#") || !strings.HasSuffix(it.Detail, ".") || it.Code == "" {
			t.Errorf("%q: %+v", text, it)
		}
	}
	if len(items) > 0 {
		return
	}
	if _, err := decode([]byte(text), again, preserve); err != nil || !reflect.DeepEqual(body, again) {
		t.Errorf("%q is read in two ways: %v", text, err)
	}
}
