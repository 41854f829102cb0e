package filter_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
)

const (
	maxFuzzTime   = 100 * time.Millisecond
	maxFuzzMemory = 64 << 20
)

// FuzzCompileAndMatch holds any text on any event to the promise: no panic, no
// more than 100 ms, no more than 64 MiB. What is slow is run again, so that a
// busy machine does not count against it.
func FuzzCompileAndMatch(f *testing.F) {
	large := hostile()
	for _, text := range nasty() {
		if strings.Contains(text, "data.list") || strings.Contains(text, "data.s") {
			f.Add(text, large)
		} else {
			f.Add(text, keyData)
		}
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		const attempts = 5
		for i := range attempts {
			took, memory := compileAndMatch(t, text, data)
			if memory > maxFuzzMemory*slowdown {
				t.Fatalf("allocated %d MiB", memory>>20)
			}
			if took <= maxFuzzTime*slowdown {
				return
			}
			if i == attempts-1 {
				t.Fatalf("took %v", took)
			}
		}
	})
}

// compileAndMatch runs one input. The event is decoded beforehand: its size is
// ingest's affair.
func compileAndMatch(t *testing.T, text, data string) (took time.Duration, memory uint64) {
	ev := newEnvironment("api_key.created", data)
	_, _ = ev.Variables()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	rule, err := filter.Compile(nil, names, nil, text)
	var problem *filter.Error
	if err != nil {
		if !errors.As(err, &problem) || problem.Detail == "" || rule != nil {
			t.Fatalf("Compile: %v, %#v", rule, err)
		}
	} else if matched, err := rule.Match(ev); err != nil && (matched || !errors.As(err, &problem) || problem.Detail == "") {
		t.Fatalf("Match: %v, %#v", matched, err)
	}
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	return took, after.TotalAlloc - before.TotalAlloc
}

// nasty is the seed corpus: what has hurt expr, or could.
func nasty() []string {
	doubled, compared := "data.a", "data.a"
	for range 31 {
		doubled = "(" + doubled + "?:data.b)"
		compared = "(1 < " + compared + " < 2)"
	}
	return []string{
		"", "true", "data.count > 5", `"`, "`", "/*", "//", "\x00", "\xff", "\ufeffid", "é", "$env", "#", ".", "..", "::", "?.", "data?.[0]",
		doubled, compared,
		strings.Repeat("(", 1000), strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("!", 4000), strings.Repeat("-", 4000) + "1",
		strings.Repeat("not ", 1000) + "true", strings.Repeat("if data {", 30), strings.Repeat("data?", 800), strings.Repeat("{a:", 32),
		"true" + strings.Repeat(" ?? true", 127), "2" + strings.Repeat(" ** 2", 127) + " > 1", `"a"` + strings.Repeat(` + "a"`, 120) + ` == ""`,
		`reduce(1..24, #acc + #acc, "a") == ""`, `let a = "x"; a + a == ""`, `replace(repeat("a", 4096), "a", repeat("b", 4096)) == ""`,
		`1 in 1..1000000000`, `len(1..1000000) > 1`, `repeat("a", 1000000000) == ""`, `toJSON(data) == ""`, `sort(data.list) == []`,
		`count(data.list, count(data.list, # == 0) > 0) > 0`, `any(data.list, any(data.list, any(data.list, true)))`,
		`any(data.list, data.list == data.list)`, `any(data.list, # in data.list)`, `len(filter(data.list, [#,#,#,#] == [])) == 0`,
		`all(data.list, upper(data.long) != data.s + "x")`, `any(data.list, {"a": data.s, "b": #} == data)`,
		`data.s matches "((a{1,30}){1,30}b)"`, `data.s matches "` + strings.Repeat("(x|a*)", 35) + `c"`, `data.s matches "(?i)` + strings.Repeat(`[\\pL]*`, 60) + `c"`,
		`id matches "` + strings.Repeat("a{1,1000}", 400) + `"`, `id matches "(?i)` + strings.Repeat(`[B-\\x{1e942}]`, 200) + `"`,
		`id matches "` + strings.Repeat("(", 2000) + strings.Repeat(")", 2000) + `"`, `id matches "(((a{100}){100}){100})"`,
		`id matches "(?i)` + strings.Repeat(`\\pL`, 1000) + `"`, `id matches "` + strings.Repeat(`[^\\pL]`, 30) + `"`,
		`int(data.s) == 1`, `date(data.s) == now()`, `date("x", data.s) == now()`, `date("x", "y", "../../etc/passwd") == now()`, `duration(data.s) == duration("1h")`,
		`data.count % 0 == 1`, `data[data.list] == 1`, `data.list[1e300] == 1`, `data.list[-9223372036854775808] == 1`, `data.s[5:1] == ""`, `data.list[0:99999999999] == []`,
		`{(1): 2} == data`, `int(1e300) == 1`, `-9223372036854775807 - 2 == 1`, `9223372036854775807 ** 9 == 1`, `0x7fffffffffffffff == 1`,
		`now() - now() == duration("0s")`, `date(created_at) + duration("2540400h10m10s") * 1000000 > now()`,
		`__get(__budget, 1)`, `data.__budget == nil`, `data["__budget"] == 1`, `get(data, "__budget") == nil`, `data.x()`, `now().Year() == 1`, `(data.x)()`, `data | get("a") | len() == 1`,
		`any(data.list, #index > 1)`, `any(data.list, {let x = #; x == 1})`, `count(data.list)`, `find(data.list, true).a.b.c.d == nil`, `::any(data.list, true)`,
		`b"\xff" == data.s`, `"\u{110000}" == ""`, `"\ud800" == data.s`, `'\'' == "\""`, "`a``b` == data.s", `1 < 2 < 3 < data.a < "x"`, `(1;2)`, `if true { 1; true } else { false }`,
	}
}

// FuzzMapForm holds the map form to the same promise and the index to the
// rule.
func FuzzMapForm(f *testing.F) {
	for _, seed := range [][2]string{
		{"project.name", `"My Project"`}, {"data.count", `[6,null,true]`}, {"data.a.b.c", `-0`}, {"", `1`}, {".", `[]`}, {"data..x", `{}`},
		{"data.\xff", `"\ud800"`}, {"id", `1e999`}, {"api_key.id", `"key_123"`}, {"data", `null`}, {"type", `["` + strings.Repeat(`a","`, 200) + `"]`},
		{"data" + strings.Repeat(".a", 4000), `1`},
	} {
		f.Add(seed[0], seed[1], keyData)
	}
	f.Fuzz(func(t *testing.T, path, value, data string) {
		rule, err := filter.Compile(nil, names, map[string]json.RawMessage{path: json.RawMessage(value)}, "")
		if err != nil {
			var problems filter.Errors
			if !errors.As(err, &problems) || !problems[0].Map || problems[0].Path != path && problems[0].Path != "" {
				t.Fatalf("Compile: %#v", err)
			}
			return
		}
		ev := newEnvironment("api_key.created", data)
		want, wantErr := rule.Match(ev)
		x := filter.NewIndex()
		x.Put(filter.Entry{ID: "wh_1", ProjectID: "proj_123", Events: []string{"*"}, Rule: rule})
		if got := len(matchesOf(x, ev)) == 1; got != (want || wantErr != nil) {
			t.Fatalf("the index found %v, the rule says %v, %v", got, want, wantErr)
		}
		x.Remove("wh_1")
		if !x.Empty() {
			t.Fatal("the index keeps something of a removed entry")
		}
	})
}
