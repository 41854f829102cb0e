package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestCanonicalPrintsWhatJavaScriptPrints(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"white space", " { \"a\" : [ 1 , 2 ] ,\r\n\t\"b\" : { } } ", `{"a":[1,2],"b":{}}`},
		{"member order", `{"b":1,"a":2,"B":3}`, `{"b":1,"a":2,"B":3}`},
		{"array indexes first, ascending", `{"b":1,"10":2,"9":3,"a":4,"0":5}`, `{"0":5,"9":3,"10":2,"b":1,"a":4}`},
		{"largest array index", `{"a":1,"4294967295":2,"4294967294":3}`, `{"4294967294":3,"a":1,"4294967295":2}`},
		{"no array indexes", `{"b":1,"01":2,"-1":3,"1.5":4,"1e1":5,"":6," 1":7}`, `{"b":1,"01":2,"-1":3,"1.5":4,"1e1":5,"":6," 1":7}`},
		{"nested array indexes", `{"x":{"b":{"z":0,"1":{"y":0,"0":1}},"2":0}}`, `{"x":{"2":0,"b":{"1":{"0":1,"y":0},"z":0}}}`},
		{"escaped array index", `{"a":1,"\u0031":2}`, `{"1":2,"a":1}`},
		{"ordinary names", `{"__proto__":1,"toJSON":2,"constructor":3}`, `{"__proto__":1,"toJSON":2,"constructor":3}`},
		{"escapes", `"\u0000\u0008\u0009\u000A\u000b\u000c\u000D\u001F\u0022\u005C\u002F\/\u007f\u0080\u2028\u2029<>&"`,
			"\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\//\u007f\u0080\u2028\u2029<>&\""},
		{"surrogate pair", `"\ud83d\uDE00"`, `"😀"`},
		{"no normalisation", "\"e\u0301\u00e9\ufeff\uffff\"", "\"e\u0301\u00e9\ufeff\uffff\""},
		{"zeros", `[0,-0,0.0,-0.0,0e5,-0e5,1e-400,-1e-400]`, `[0,0,0,0,0,0,0,0]`},
		{"integers", `[1,-1,9007199254740992,-9007199254740992,999999999999999,1234567890123456]`, `[1,-1,9007199254740992,-9007199254740992,999999999999999,1234567890123456]`},
		{"large integers that print as themselves", `[999999999999999900000,100000000000000000000]`, `[999999999999999900000,100000000000000000000]`},
		{"larger integers that keep their value", `[1000000000000000000000,-2500000000000000000000]`, `[1e+21,-2.5e+21]`},
		{"fractions", `[1.0,1.50,0.1,1e0,1E2,1.5e+3,1e-6,1e-7,123456789.123456789]`, `[1,1.5,0.1,1,100,1500,0.000001,1e-7,123456789.12345679]`},
		{"exponents", `[1e20,1e21,1e22,1.7976931348623157e308,5e-324,9007199254740993.0,9007199254740993e0]`,
			`[100000000000000000000,1e+21,1e+22,1.7976931348623157e+308,5e-324,9007199254740992,9007199254740992]`},
		{"digits beyond a double", `[0.1000000000000000055511151231257827,3.14159265358979323846264338327950288]`, `[0.1,3.141592653589793]`},
		{"literals", ` [ true , false , null ] `, `[true,false,null]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, preserve := range []bool{false, true} {
				got, err := webhook.Canonical([]byte(tt.in), preserve)
				if err != nil {
					t.Fatalf("Canonical(preserve %v): %v", preserve, err)
				}
				if string(got) != tt.want {
					t.Errorf("Canonical(preserve %v)\n got %s\nwant %s", preserve, got, tt.want)
				}
			}
		})
	}
}

func TestCanonicalRefusesWhatJavaScriptWouldChange(t *testing.T) {
	type items = []problem.Item
	one := func(code problem.Code, pointer string) items { return items{{Code: code, Pointer: pointer}} }
	long := strings.Repeat("9", 400)
	tests := []struct {
		name, in, preserved string // preserved is empty where preserve refuses too
		want                items
	}{
		{"integer", `{"a":{"n":9007199254740993}}`, `{"a":{"n":9007199254740993}}`, one(problem.NumberNotExact, "#/a/n")},
		{"negative integer", `[0,-9007199254740993]`, `[0,-9007199254740993]`, one(problem.NumberNotExact, "#/1")},
		{"integer with an exponent when printed", `1000000000000000000001`, `1000000000000000000001`, one(problem.NumberNotExact, "#")},
		{"digits that print otherwise", `100000000000000000001`, `100000000000000000001`, one(problem.NumberNotExact, "#")},
		{"overflow", `{"n":1e400,"m":-1E400}`, `{"n":1e400,"m":-1E400}`, items{{Code: problem.NumberOverflow, Pointer: "#/n"}, {Code: problem.NumberOverflow, Pointer: "#/m"}}},
		{"overflowing integer", long, long, one(problem.NumberOverflow, "#")},
		{"lone surrogate", `["a","\uD800x"]`, `["a","\uD800x"]`, one(problem.LoneSurrogate, "#/1")},
		{"low surrogate", `"\udc00"`, `"\udc00"`, one(problem.LoneSurrogate, "#")},
		{"swapped surrogates", `"\udc00\ud800"`, `"\udc00\ud800"`, one(problem.LoneSurrogate, "#")},
		{"lone surrogate before a pair", `"\ud83d\ud83d\ude00"`, "\"\\ud83d😀\"", one(problem.LoneSurrogate, "#")},
		{"lone surrogate in a name", `{"\ud800":1}`, `{"\ud800":1}`, one(problem.LoneSurrogate, "#/%EF%BF%BD")},
		{"duplicate", `{"a":1,"b":2,"a":3,"a":4}`, "", items{{Code: problem.DuplicateMember, Pointer: "#/a"}, {Code: problem.DuplicateMember, Pointer: "#/a"}}},
		{"duplicate after unescaping", `{"x":[{"a/b~":1,"\u0061\/b~":2}]}`, "", one(problem.DuplicateMember, "#/x/0/a~1b~0")},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "", one(problem.InvalidUTF8, "#/a")},
		{"surrogates in UTF-8", "[\"\xed\xa0\x80\"]", "", one(problem.InvalidUTF8, "#/0")},
		{"several", `{"é x":1e999,"b":[[],[9007199254740993]],"b":"\ud800"}`, "", items{
			{Code: problem.NumberOverflow, Pointer: "#/%C3%A9%20x"},
			{Code: problem.NumberNotExact, Pointer: "#/b/1/0"},
			{Code: problem.LoneSurrogate, Pointer: "#/b"},
			{Code: problem.DuplicateMember, Pointer: "#/b"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.Canonical([]byte(tt.in), false)
			wantItems(t, err, problem.Invalid, tt.want)
			got, err := webhook.Canonical([]byte(tt.in), true)
			if tt.preserved == "" {
				if err == nil {
					t.Errorf("preserve: got %s, want an error", got)
				}
				return
			}
			if err != nil || string(got) != tt.preserved {
				t.Errorf("preserve: got %s, %v, want %s", got, err, tt.preserved)
			}
		})
	}
}

func TestCanonicalPreserveSeesEqualNamesWhateverTheirCase(t *testing.T) {
	_, err := webhook.Canonical([]byte(`{"\uD800":1,"\ud800":2}`), true)
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.DuplicateMember, Pointer: "#/%EF%BF%BD"}})
}

func TestCanonicalFindsDuplicatesAmongManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"x":0`)
	for i := range 5000 {
		b.WriteString(`,"m` + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + jsonInt(i) + `":1`)
	}
	if _, err := webhook.Canonical([]byte(b.String()+`}`), false); err != nil {
		t.Fatal(err)
	}
	_, err := webhook.Canonical([]byte(b.String()+`,"x":1}`), false)
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.DuplicateMember, Pointer: "#/x"}})
}

func TestCanonicalTellsWhereTheTextIsNotJSON(t *testing.T) {
	tests := []struct {
		name, in string
		offset   int64
	}{
		{"empty", "", 0},
		{"white space only", " \n", 2},
		{"byte order mark", "\xEF\xBB\xBF{}", 0},
		{"no value", `{"a":}`, 5},
		{"trailing comma", `[1,]`, 2},
		{"cut off", `{"a":[1`, 7},
		{"cut off string", `{"a":"x`, 7},
		{"more behind", `{} x`, 3},
		{"another value", `{}{}`, 2},
		{"single quotes", `{'a':1}`, 1},
		{"leading zero", `[01]`, 2},
		{"plus sign", `[+1]`, 1},
		{"NaN", `[NaN]`, 1},
		{"control character", "[\"\n\"]", 2},
		{"bad escape", `["\x"]`, 2},
		{"after a duplicate", `{"a":1,"a":2`, 12},
		{"after too many levels", strings.Repeat("[", 100), 100},
		{"after far too many levels", strings.Repeat("[", 12_000), 12_000},
		{"behind far too many levels", strings.Repeat("[", 12_000) + "oops", 12_000},
		{"far too deep and cut off in a string", strings.Repeat(`{"a":`, 12_000) + `"x`, 60_002},
		{"brackets that do not match far too deep", strings.Repeat("[", 12_000) + "}", 12_000},
		{"behind what is far too deep", strings.Repeat("[", 12_000) + strings.Repeat("]", 12_000) + "x", 24_000},
		{"an array as a name at the last level", strings.Repeat("[", 62) + "{[", 63},
		{"an object as a name at the last level", strings.Repeat(`[`, 62) + `{"a":1,{`, 69},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.Canonical([]byte(tt.in), false)
			wantItems(t, err, problem.BadRequest, []problem.Item{{Code: problem.MalformedJSON, Offset: &tt.offset}})
		})
	}
}

func TestCanonicalLimitsDepth(t *testing.T) {
	nested := func(levels int) []byte {
		return []byte(strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1))
	}
	const levels = webhook.MaxDepth - 1 // the event around it is level 1
	if _, err := webhook.Canonical(nested(levels), false); err != nil {
		t.Errorf("%d levels: %v", levels, err)
	}
	for _, n := range []int{levels + 1, 9_999, 10_000, 10_001, 50_000, 1_000_000} {
		_, err := webhook.Canonical(nested(n), true)
		wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.TooDeep, Pointer: "#" + strings.Repeat("/a", levels)}})
	}
}

func TestCanonicalGoesOnBehindWhatIsTooDeep(t *testing.T) {
	for _, levels := range []int{70, 20_000} {
		deep := strings.Repeat("[", levels) + strings.Repeat("]", levels)
		src := []byte(`{"a": ` + deep + `,"b":1e999}`)
		before := bytes.Clone(src)
		_, err := webhook.Canonical(src, false)
		wantItems(t, err, problem.Invalid, []problem.Item{
			{Code: problem.TooDeep, Pointer: "#/a" + strings.Repeat("/0", 62)},
			{Code: problem.NumberOverflow, Pointer: "#/b"},
		})
		if !bytes.Equal(src, before) {
			t.Errorf("%d levels: the text was changed", levels)
		}
	}
}

func TestCanonicalReadsWhatIsTooDeepAsJSON(t *testing.T) {
	for text, valid := range map[string]bool{
		`{"a":[],"b":{},"c":[{"d":1},[2,"x"]]}`: true, " [ 1 ,\t2\r\n] ": true, `["\"\\\/\b\f\n\r\t\u00aF\ud800"]`: true,
		`[true,false,null,0,-0,1.5,10e3,1E+2,1e-2]`: true, "[\"\x7f\xff\"]": true, "{\"a\" : 1}": true,
		`[1,]`: false, `[,1]`: false, `[1 2]`: false, `{"a":1,}`: false, `{"a"}`: false, `{"a":}`: false, `{1:2}`: false, `{"a",1}`: false,
		`[}`: false, `{]`: false, `["\x"]`: false, `["\u00g0"]`: false, "[\"\n\"]": false, `[01]`: false, `[1.]`: false, `[.5]`: false, `[1e]`: false,
		`[-]`: false, `[+1]`: false, `[tru]`: false, `[nul1]`: false, `[NaN]`: false, "[\x00]": false, "[\"\x00\"]": false, `[]]`: false, "[\u00a0]": false,
	} {
		checkDeepText(t, []byte(text), valid)
	}
}

func FuzzDeepText(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seededDocument(seed))
	}
	for _, text := range []string{`[{"a":[1,-2.5e+3,"\u00ff\n",true,null]},[]]`, `[1,]`, `{"a":1,}`, `[01]`, `["\x"]`, `{"a"`, "[\"\x00\"]", `],[`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 9000 { // the decoder could give up
			return
		}
		dec := jsontext.NewDecoder(bytes.NewReader(slices.Concat([]byte("["), deepText(text), []byte("]"))), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		err := dec.SkipValue()
		if err == nil {
			_, err = dec.ReadToken()
		}
		checkDeepText(t, text, errors.Is(err, io.EOF))
	})
}

// checkDeepText checks whether a text is taken for JSON when it stands so deep
// that it is not decoded.
func checkDeepText(t *testing.T, text []byte, valid bool) {
	t.Helper()
	doc := append([]byte("["+strings.Repeat("[],", 10_000)), deepText(text)...)
	_, err := webhook.Canonical(append(doc, ']'), false)
	want := problem.BadRequest
	if valid {
		want = problem.Invalid
	}
	if code := problem.From(err).Code; code != want {
		t.Errorf("%q: got %v, want %s", text, err, want)
	}
}

func deepText(text []byte) []byte {
	const levels = 70
	return slices.Concat(bytes.Repeat([]byte("["), levels), text, bytes.Repeat([]byte("]"), levels))
}

func TestCanonicalLimitsMembers(t *testing.T) {
	object := func(members int) string {
		var b bytes.Buffer
		b.WriteByte('{')
		for i := range members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + jsonInt(members-i) + `":0`)
		}
		b.WriteByte('}')
		return b.String()
	}
	if _, err := webhook.Canonical([]byte(object(webhook.MaxMembers)), false); err != nil {
		t.Errorf("as many members as allowed: %v", err)
	}
	want := []problem.Item{{Code: problem.TooManyMembers, Pointer: "#"}}
	_, err := webhook.Canonical([]byte(object(webhook.MaxMembers+1)), false)
	wantItems(t, err, problem.Invalid, want)
	_, err = webhook.Canonical([]byte(`[`+strings.Repeat(object(100)+",", 100)+object(1)+`]`), false)
	wantItems(t, err, problem.Invalid, want)
}

func TestProblemsNeverRepeatAValue(t *testing.T) {
	const secret = "S3CRETVALUE"
	for _, in := range []string{
		`{"a":"` + secret, `{"a":` + secret + `}`, `{"a":"` + secret + `\ud800"}`, "{\"a\":\"" + secret + "\xff\"}",
		`{"a":"` + secret + `","a":"` + secret + `"}`, `["` + secret + `" "` + secret + `"]`,
		`{"type":"` + secret + `","id":"` + secret + `!","created_at":"` + secret + `","api_version":"` + secret + `!","project":{"id":"` + secret + `!"},"data":"` + secret + `"}`,
	} {
		_, err := (&webhook.Intake{}).One([]byte(in))
		pe, ok := errors.AsType[*problem.Error](err)
		if !ok {
			t.Errorf("%s: got %v, want a problem", in, err)
			continue
		}
		text, _ := json.Marshal(pe.Document())
		if strings.Contains(string(text)+err.Error(), secret) {
			t.Errorf("the problem repeats a refused value: %s", text)
		}
	}
}

func TestProblemsAreListedUpToALimit(t *testing.T) {
	_, err := webhook.Canonical([]byte(`[`+strings.Repeat(`1e999,`, 1000)+`0]`), false)
	if pe := problem.From(err); len(pe.Items) != 20 {
		t.Errorf("got %d items, want 20", len(pe.Items))
	}
}

func TestPointersStayShort(t *testing.T) {
	long := strings.Repeat("n", 5000)
	_, err := webhook.Canonical([]byte(`{"a":{"`+long+`":{"b":1e999}}}`), false)
	wantItems(t, err, problem.Invalid, []problem.Item{{Code: problem.NumberOverflow, Pointer: "#/a"}})
}

// wantItems checks an error's code and its items, details aside.
func wantItems(t *testing.T, err error, code problem.Code, want []problem.Item) {
	t.Helper()
	pe, ok := errors.AsType[*problem.Error](err)
	if !ok {
		t.Fatalf("got error %v, want %s", err, code)
	}
	if pe.Code != code {
		t.Errorf("got code %s, want %s (%v)", pe.Code, code, err)
	}
	got := make([]problem.Item, len(pe.Items))
	for i, it := range pe.Items {
		if it.Detail == "" {
			t.Errorf("item %d has no detail", i)
		}
		it.Detail = ""
		got[i] = it
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

func jsonInt(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}
