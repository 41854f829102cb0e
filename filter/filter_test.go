package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/webhook"
)

// catalogue is the built-in one (contract section 1).
var catalogue = []string{
	"project.created", "project.updated", "project.deleted",
	"api_key.created", "api_key.revoked", "api_key.updated",
	"integration.connected", "integration.disconnected", "integration.updated",
	"usage.threshold_reached", "usage.limit_exceeded",
}

var names = filter.NewNames(catalogue)

// newEvent makes an event of the project proj_123.
func newEvent(eventType, data string) *webhook.Event {
	e := &webhook.Event{
		ID: "evt_1", Type: eventType, ProjectID: "proj_123",
		CreatedAt: "2024-01-01T00:00:00Z", APIVersion: "2021-09-01",
	}
	e.Body = fmt.Appendf(nil, `{"id":"evt_1","type":%q,"data":%s,"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`, eventType, data)
	return e
}

// newEnvironment makes what filters see of an event of "My Project".
func newEnvironment(eventType, data string) *filter.Event {
	return filter.NewEvent(newEvent(eventType, data), []byte(`{"id":"proj_123","name":"My Project","tags":["a","b"]}`), names)
}

const keyData = `{"id":"key_123","name":"My API Key","permissions":["read","write"],"amount":12.5,"count":6,"live":true,` +
	`"none":null,"odd name":{"é.x":"y"},"owner":{"name":"Ann","age":41},"items":[{"price":5,"tags":["x"]},{"price":20,"tags":["y","x"]}],` +
	`"empty":[],"text":"Grüße","zero":0}`

func mustCompile(tb testing.TB, filters map[string]json.RawMessage, text string) *filter.Rule {
	tb.Helper()
	rule, err := filter.Compile(nil, names, filters, text)
	if err != nil {
		tb.Fatalf("Compile(%v, %q): %v", filters, text, err)
	}
	return rule
}

// TestExpressionsMatch fixes what the language means, the sharp edges first.
func TestExpressionsMatch(t *testing.T) {
	tests := []struct {
		text string
		want any // true, false, or a part of the error
	}{
		// nil
		{`data.missing == nil`, true},
		{`data.missing.deeper.still == nil`, true},
		{`data.name.of.a.string == nil`, true},
		{`data.items.name == nil`, true},
		{`data.items[99] == nil`, true},
		{`data.items[99].price == nil`, true},
		{`data.items[-1].price == 20`, true},
		{`data.none == nil`, true},
		{`data.missing == "x"`, false},
		{`data.missing != "x"`, true},
		{`data.missing startsWith "a"`, false},
		{`data.missing endsWith "a"`, false},
		{`data.missing contains "a"`, false},
		{`data.missing matches "a"`, false},
		{`"a" in data.missing`, false},
		{`data.missing > 3`, "nil > int"},
		{`not data.missing`, "bool is needed here, found nil"},
		{`data.missing and true`, "bool is needed here, found nil"},
		{`any(data.missing, true)`, "an array is needed here, found nil"},
		{`any(data.missing ?? [], true)`, false},
		{`(data.missing ?? 0) > 3`, false},
		{`data.missing`, false},
		{`data?.missing?.deeper == nil`, true},
		{`len(data.missing) == 0`, "len needs a string"},

		// the environment
		{`id == "evt_1" and type == "api_key.created" and created_at == "2024-01-01T00:00:00Z" and api_version == "2021-09-01"`, true},
		{`api_key.id == "key_123"`, true},
		{`api_key == data`, true},
		{`integration == nil and usage == nil`, true},
		{`integration.name == "x"`, false},
		{`project.name == "My Project"`, true},
		{`project.id == "proj_123"`, true},
		{`project.name startsWith "My" && project.tags[1] == "b"`, true},
		{`data["odd name"]["é.x"] == "y"`, true},
		{`get(data, "odd name")["é.x"] == "y"`, true},
		{`get(data.items, 1).price == 20`, true},
		{`get(data.items, 7) == nil`, true},

		// comparing
		{`data.amount == 12.5`, true},
		{`data.count == 6`, true},
		{`data.count == 6.0`, true},
		{`data.count == "6"`, false},
		{`data.live == "true"`, false},
		{`data.live`, true},
		{`not data.live`, false},
		{`!(data.count > 5)`, false},
		{`data.count > 5 and data.count < 7`, true},
		{`5 < data.count < 7`, true},
		{`data.name > 5`, "string > int"},
		{`data.name > "A"`, true},
		{`data.permissions == ["read","write"]`, true},
		{`data.owner == {"name":"Ann","age":41}`, true},
		{`data.owner == {"name":"Ann","age":42}`, false},
		{`data.zero == -0.0`, true},
		{`data.name in ["My API Key","x"]`, true},
		{`data.name not in ["x"]`, true},
		{`data.count in [1, 6]`, true},
		{`"name" in data.owner`, true},
		{`"write" in data.permissions`, true},
		{`"a" in data.name`, "right side of in must be an array or an object, found a string"},
		{`data.name in project.tags or "a" in project.tags`, true},

		// operators and builtins
		{`data.name matches "^My .*Key$"`, true},
		{`data.name not matches "(?i)^my"`, false},
		{`data.count matches "6"`, "matches needs a string, found a number"},
		{`data.count startsWith "6"`, "startsWith needs two strings"},
		{`data.count + 1 == 7 and data.count * 2 - 2 == 10 and data.count / 4 == 1.5 and 2 ** 3 == 8`, true},
		{`data.name + "!" == "My API Key!"`, true},
		{`data.name + 1 == ""`, "string + int"},
		{`data.count % 4 == 2`, true},
		{`data.amount % 2 == 0`, "whole numbers"},
		{`data.count % data.zero == 0`, "% by zero"},
		{`len(data.text) == 5 and len(data.items) == 2 and len(data.owner) == 2`, true},
		{`lower(data.name) == "my api key" and upper("x") == "X" and trim(" a ") == "a" and trim("xax", "x") == "a"`, true},
		{`int("6") == data.count and float("12.5") == data.amount and string(data.count) == "6" and int(12.9) == 12`, true},
		{`int("x") == 1`, "not a whole number"},
		{`string(data.owner) == ""`, "string needs a number"},
		{`any(data.items, .price > 10)`, true},
		{`any(data.items, {#.price > 10})`, true},
		{`all(data.items, .price > 10)`, false},
		{`none(data.items, .price > 100)`, true},
		{`one(data.items, .price == 5)`, true},
		{`count(data.items, .price > 1) == 2`, true},
		{`count([true, false, true]) == 2`, true},
		{`len(filter(data.items, .price > 10)) == 1`, true},
		{`filter(data.items, .price > 10)[0].price == 20`, true},
		{`find(data.items, .price > 10).price == 20`, true},
		{`find(data.items, .price > 1000).price == nil`, true},
		{`data.items | filter(.price > 10) | len() == 1`, true},
		{`any(data.items, any(.tags, # == "y"))`, true},
		{`any(data.items, .missing)`, "a predicate must give a boolean, found nil"},
		{`any(data.name, true)`, "an array is needed here, found a string"},
		{`any(data.permissions, # == "write")`, true},
		{`date(created_at) == date("2024-01-01")`, true},
		{`date(created_at) < now() and now() - date(created_at) > duration("24h")`, true},
		{`date("2024-01-01t01:00:00.5+01:00") == date("2024-01-01T00:00:00.5Z") and date("2024-01-01t00:00:00z") == date("2024-01-01")`, true},
		{`date("01.02.2024", "02.01.2006") == date("2024-02-01")`, true},
		{`date("2024-02-01 12:00", "2006-01-02 15:04", "Europe/Berlin") == date("2024-02-01T11:00:00Z")`, true},
		{`date("yesterday") == now()`, "not a date"},
		{`data.live ? data.count == 6 : false`, true},
		{`if data.live { true } else { false }`, true},
		{`(data.missing ?: 1) == 1`, "bool is needed here, found nil"},
		{`data.items[0:1][0].price == 5`, true},
		{`id[0:3] == "evt"`, true},
		{"data.name == `My API Key` // a comment\n /* and ( another */ and true", true},

		// results
		{`data.name`, "must give a boolean, found a string"},
		{`data.owner`, "must give a boolean, found an object"},
		{`project.name == "B" and data.missing > 3`, false},
		{`data.missing > 3 and project.name == "B"`, false}, // conditions go first
		{`data.missing > 3 and project.name == "My Project"`, "nil > int"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			got, err := mustCompile(t, nil, tt.text).Match(newEnvironment("api_key.created", keyData))
			if part, ok := tt.want.(string); ok {
				var problem *filter.Error
				if !errors.As(err, &problem) || !strings.Contains(problem.Detail, part) || problem.Line != 1 {
					t.Fatalf("Match: %v, %v; want an error on line 1 with %q", got, err, part)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("Match: %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// TestExpressionsThatDoNotCompile fixes what is refused, why and where.
func TestExpressionsThatDoNotCompile(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "true" + strings.Repeat(")", n) }
	doubled := "data.a"
	for range 31 {
		doubled = "(" + doubled + "?:data.b)"
	}
	tests := []struct {
		name, text string
		line, col  int
		want       string
	}{
		{"empty", " \n", 1, 1, "empty"},
		{"text too long", "true " + strings.Repeat(" ", filter.MaxText), 1, 4097, "longer than 4096 bytes"},
		{"text too long on its second line", "true\n" + strings.Repeat("é", filter.MaxText/2), 2, 2046, "longer than 4096 bytes"},
		{"not UTF-8", "data.a == \"\uFFFD\" or\n\"\xff\"", 2, 2, "UTF-8"},
		{"not UTF-8 and too long", strings.Repeat("\x80", 5000), 1, 1, "longer than"},
		{"two megabytes of brackets", strings.Repeat("(", 2<<20), 1, 4097, "longer than"},
		{"brackets too deep", deep(33), 1, 33, "nest more than 32 deep"},
		{"brackets too deep on a second line", "é &&\n " + deep(33), 2, 34, "nest more than 32 deep"},
		{"brackets of all kinds too deep", strings.Repeat("[{(", 11), 1, 33, "nest more than 32 deep"},
		{"too many nodes", "true" + strings.Repeat(" or true", 128), 1, 0, "too large"},
		{"a shared node doubled at each level", doubled, 1, 0, "too large"},
		{"unary operators without end", strings.Repeat("!", 4000) + "true", 1, 0, "too large"},
		{"unknown name", `foo.bar == 1`, 1, 1, "unknown name foo; the names are id, type, created_at, api_version, data, project, api_key, integration, usage"},
		{"unknown name on line 3", "true\nand\n  datta.x == 1", 3, 3, "unknown name datta"},
		{"no boolean", `id`, 1, 1, "must give a boolean, not string"},
		{"a number", `1 + 2`, 1, 1, "must give a boolean, not int"},
		{"mismatched types", `id == 5`, 1, 4, "mismatched types string and int"},
		{"text and number", `"a" > 1`, 1, 5, "mismatched types"},
		{"not a boolean negated", `not "x"`, 1, 1, "mismatched type string"},
		{"a string has no members", `id.name == "x"`, 1, 4, "has no field name"},
		{"let", `let x = 1; x == 1`, 1, 5, "let is not available"},
		{"sequence", `true; true`, 1, 1, "; is not available"},
		{"sequence in a predicate", `any(data.a, {true; true})`, 1, 14, "; is not available"},
		{"range", `1 in 1..1000000000`, 1, 7, ".. is not available"},
		{"reduce", `reduce(data.a, #acc + #) == 1`, 1, 1, "the function reduce is not available; the functions are any, all"},
		{"map", `map(data.a, #) == []`, 1, 1, "the function map is not available"},
		{"piped map", `data.a | map(#) == []`, 1, 10, "the function map is not available"},
		{"repeat", `repeat("a", 1000000) == ""`, 1, 1, "the function repeat is not available"},
		{"replace", `replace(id, "a", "b") == ""`, 1, 1, "the function replace is not available"},
		{"disabled behind ::", `::toJSON(data) == ""`, 1, 3, "the function toJSON is not available"},
		{"unknown function", `exec("x") == 1`, 1, 1, "there is no function exec"},
		{"a name is no function", `data("x") == 1`, 1, 1, "there is no function data"},
		{"method", `data.x() == 1`, 1, 6, "methods are not available"},
		{"method of a date", `now().Year() == 2024`, 1, 7, "methods are not available"},
		{"member of a date", `now().wall == 2024`, 1, 7, "has no field"},
		{"$env", `$env.data == nil`, 1, 1, "$env is not available"},
		{"$env indexed", `$env["data"] == nil`, 1, 1, "$env is not available"},
		{"the budget", `__budget == nil`, 1, 1, "two underscores"},
		{"our functions", `__get(__budget, data, "x") == 1`, 1, 1, "not available"},
		{"our functions by pipe", `data | __get() == 1`, 1, 8, "not available"},
		{"#index", `any(data.a, #index > 1)`, 1, 13, "#index is not available"},
		{"three predicates deep", `any(data.a, any(#, any(#, true)))`, 1, 27, "predicates nest more than 2 deep"},
		{"byte string", `b"x" == data.x`, 1, 1, "byte strings are not available"},
		{"computed pattern", `id matches data.pattern`, 1, 4, "must be a string literal"},
		{"a number matched", `5 matches "5"`, 1, 1, "matches needs a string on its left"},
		{"types: len() == 1", `len() == 1`, 1, 0, ""},
		{"types: len(1, 2) == 1", `len(1, 2) == 1`, 1, 0, ""},
		{"types: trim() == ''", `trim() == ""`, 1, 0, ""},
		{"types: trim(1) == ''", `trim(1) == ""`, 1, 0, ""},
		{"types: upper(1) == ''", `upper(1) == ""`, 1, 0, ""},
		{"types: get(data) == 1", `get(data) == 1`, 1, 0, ""},
		{"types: get(1, 2) == 1", `get(1, 2) == 1`, 1, 0, ""},
		{"types: date() == now()", `date() == now()`, 1, 0, ""},
		{"types: now(1) == now()", `now(1) == now()`, 1, 0, ""},
		{"types: duration(1) == duration('1s')", `duration(1) == duration("1s")`, 1, 0, ""},
		{"types: string() == ''", `string() == ""`, 1, 0, ""},
		{"types: any(1, true)", `any(1, true)`, 1, 0, ""},
		{"types: any(data.a, 1)", `any(data.a, 1)`, 1, 0, ""},
		{"types: any(data.a)", `any(data.a)`, 1, 0, ""},
		{"types: filter(data.a, 'x') == []", `filter(data.a, "x") == []`, 1, 0, ""},
		{"types: 1 in 5", `1 in 5`, 1, 0, ""},
		{"types: 'a' in 5", `"a" in 5`, 1, 0, ""},
		{"types: 1 contains 'a'", `1 contains "a"`, 1, 0, ""},
		{"types: 1 + 'a' == 1", `1 + "a" == 1`, 1, 0, ""},
		{"types: true + 1 == 2", `true + 1 == 2`, 1, 0, ""},
		{"types: -'a' == 1", `-"a" == 1`, 1, 0, ""},
		{"types: {'a': 1} > 1", `{"a": 1} > 1`, 1, 0, ""},
		{"types: data > 1", `data > 1`, 1, 0, ""},
		{"types: data == 1", `data == 1`, 1, 0, ""},
		{"types: [1] == 'x'", `[1] == "x"`, 1, 0, ""},
		{"types: 1.5 % 2 == 1", `1.5 % 2 == 1`, 1, 0, ""},
		{"types: true and 1", `true and 1`, 1, 0, ""},
		{"types: 1 ? true : false", `1 ? true : false`, 1, 0, ""},
		{"types: id[data] == 1", `id[data] == 1`, 1, 0, ""},
		{"types: 5.x == 1", `5.x == 1`, 1, 0, ""},
		{"bad pattern", `id matches "("`, 1, 12, "no regular expression: missing closing )"},
		{"pattern too large", `id matches "((a{1,30}){1,30}b)"`, 1, 12, "more than 256 instructions"},
		{"huge repetition", `id matches "` + strings.Repeat("a{1,1000}", 400) + `"`, 1, 12, "more than 256 instructions"},
		{"long literal", `id matches "` + strings.Repeat("a", 300) + `"`, 1, 12, "more than 256 instructions"},
		{"wide ranges", `id matches "(?i)` + strings.Repeat(`[B-\\x{1e942}]`, 200) + `"`, 1, 12, "more than 8 ranges"},
		{"wide ranges spread", strings.Repeat(`id matches "(?i)[B-𞥂]" or `, 10) + `true`, 1, 0, "more than 8 ranges"},
		{"patterns too large together", strings.Repeat(`id matches "`+strings.Repeat("a", 200)+`" or `, 3) + `true`, 1, 0, "too large together"},
		{"classes too large together", `id matches "` + strings.Repeat(`\\pL`, 5) + `"`, 1, 12, "too large together"},
		{"unfinished", `data.x ==`, 1, 9, "unexpected end of the expression"},
		{"unfinished string", `data.x == "abc`, 1, 0, "literal not terminated"},
		{"two values", `data.x == "a" "b"`, 1, 15, "unexpected string"},
		{"two numbers", `data.x == 1 2`, 1, 13, "unexpected number"},
		{"two names", `data.x == id type`, 1, 14, "unexpected name type"},
		{"two operators", `data.x == * 1`, 1, 11, `unexpected "*"`},
		{"unopened bracket", `data.x == 1)`, 1, 12, `unexpected ")"`},
		{"key of an object", `{"a": 1, [1]: 2} == data`, 1, 10, `(unexpected "[")`},
		{"time zone computed", `date(id, "x", data.zone) == now()`, 1, 20, "the time zone must be a string literal"},
		{"time zone unknown", `date(id, "x", "../etc/passwd") == now()`, 1, 15, "no time zone"},
		{"predicate outside", `# == 1`, 1, 0, ""},
		{"number too large", `data.x == 99999999999999999999`, 1, 0, "invalid integer literal"},
		{"slice of an object", `data[0:1] == 1`, 1, 5, "cannot slice object"},
		{"builtin on a string", `any(id, true)`, 1, 5, "takes only array"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rule, err := filter.Compile(nil, names, nil, tt.text)
			var problems filter.Errors
			if !errors.As(err, &problems) || len(problems) != 1 || rule != nil {
				t.Fatalf("Compile: %v, %v; want one problem", rule, err)
			}
			got := problems[0]
			if strings.Contains(got.Error(), "__") && !strings.Contains(tt.text, "__") {
				t.Errorf("detail %q names what no author wrote", got.Detail)
			}
			if !strings.Contains(got.Detail, tt.want) {
				t.Errorf("detail %q lacks %q", got.Detail, tt.want)
			}
			if got.Line != tt.line || tt.col != 0 && got.Column != tt.col {
				t.Errorf("at %d:%d, want %d:%d (%s)", got.Line, got.Column, tt.line, tt.col, got.Detail)
			}
		})
	}
}

// TestErrorsNeverRepeatALiteral writes a secret where the text is refused.
func TestErrorsNeverRepeatALiteral(t *testing.T) {
	t.Parallel()
	const secret, number, pasted = "TOP SECRET", "4815162342", "sk_live_4eC39HqLyjWDarjtT1zdp7dcQ"
	for _, text := range []string{
		`data.a == "x" "TOP SECRET"`, `data.a == "TOP SECRET`, `data.a == "\q TOP SECRET"`, `data.a == b"x" b"TOP SECRET"`, `data.a ? "TOP SECRET"`,
		`data.a matches "(TOP SECRET"`, `data.a matches "[z-a]TOP SECRET"`, `data.a matches "TOP SECRET(?P<TOP SECRET>x)"`, `data.a matches "TOP SECRET**"`,
		`data.a matches "TOP SECRET\\"`, `data.a matches "\\TOP SECRET\\y"`, "data.a matches `(?TOP SECRET)`",
		`id["TOP SECRET"] == 1`, `now()["TOP SECRET"] == 1`, `id?.["TOP SECRET"] == 1`, `get(id, "TOP SECRET") == 1`, `nil["TOP SECRET"] == 1`, `id."TOP SECRET" == 1`,
		`{"TOP SECRET": 1}.x.y.z() == 1`, `{"TOP SECRET" 1} == data`, `{a "TOP SECRET"} == data`, `"TOP SECRET"`, `not "TOP SECRET"`, `"TOP SECRET" > 1`, `"TOP SECRET"("x")`,
		`"TOP SECRET".x == 1`, `date(id, "x", "TOP SECRET") == now()`, `any("TOP SECRET", true)`, `reduce("TOP SECRET", 1)`, `data.a == 1 "TOP SECRET" /*`,
		`data.a == 4815162342481516234248151623424815162342`, `data.a == 1 4815162342`, `data.a == 4815162342x`, `data.a == 0x4815162342481516234248`, `data.a == 4815162342.1.2`,
		`data.a == 0b4815162342`, `data.a == 0o4815162342999`, `4815162342`, `4815162342.x == 1`, `data.a == 1e4815162342`, `data.a == 4815162342e`, `id[4815162342] == 1`,
		pasted, pasted + `.x == 1`, `data.a == 1 ` + pasted, pasted + `("x")`, `id.` + pasted + ` == 1`, `__` + pasted + ` == 1`, `any(data.a, #` + pasted + `)`, `data.a == ` + pasted,
		`data | ` + pasted + `()`, `let ` + pasted + ` = 1; true`, `{` + pasted + ` 1} == data`,
	} {
		rule, err := filter.Compile(nil, names, nil, text)
		if err == nil {
			t.Errorf("%s: compiled to %v", text, rule)
			continue
		}
		for _, refused := range []string{secret, "SECRET", number, pasted} {
			if strings.Contains(err.Error(), refused) {
				t.Errorf("%s: the error repeats a literal: %v", text, err)
			}
		}
	}
}

// TestTextsAtTheLimitsCompile is the other side of the limits.
func TestTextsAtTheLimitsCompile(t *testing.T) {
	for name, text := range map[string]string{
		"brackets in strings":  `data.x == "` + strings.Repeat("(", 100) + `" or data.y == '[[[\'[[[' or data.z == ` + "`" + strings.Repeat("{", 50) + "`",
		"brackets in comments": "true /* " + strings.Repeat("(", 100) + " */ // " + strings.Repeat("(", 100),
		"32 deep":              strings.Repeat("(", 32) + "true" + strings.Repeat(")", 32),
		"256 nodes":            "true" + strings.Repeat(" or true", 127),
		"4096 bytes":           "true" + strings.Repeat(" ", filter.MaxText-4),
		"two predicates":       `any(data.a, any(#, true)) and any(data.b, any(#, true))`,
		"pattern":              `id matches "` + strings.Repeat("a", 250) + `"`,
	} {
		if _, err := filter.Compile(nil, names, nil, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNounsNamedLikeBuiltinsAreBoth(t *testing.T) {
	t.Parallel()
	names := filter.NewNames([]string{"count.created", "filter.created", "in.x", "not.x", "2fa.on", "__x.y", "data.x", "true.x", "order.paid"})
	if got, want := strings.Join(names.List(), " "), "id type created_at api_version data project count filter order"; got != want {
		t.Fatalf("names %q, want %q", got, want)
	}
	rule, err := filter.Compile(filter.Expr, names, nil, `count.a == 1 and count(data.list, # > 1) == 2 and len(filter(data.list, # > 1)) == 2`)
	if err != nil {
		t.Fatal(err)
	}
	ev := filter.NewEvent(newEvent("count.created", `{"a":1,"list":[1,2,3]}`), nil, names)
	if got, err := rule.Match(ev); !got || err != nil {
		t.Fatalf("Match: %v, %v", got, err)
	}
}
