package webhook_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

//go:embed testdata/canonical.js
var canonicalJS string

// TestCanonicalIsWhatNodePrints compares thousands of documents, byte for
// byte, with JSON.stringify(JSON.parse(document)) in Node. What Node refuses
// must be refused as no JSON; what is refused otherwise must be something that
// Node would change.
func TestCanonicalIsWhatNodePrints(t *testing.T) {
	documents := handPicked()
	g := newGenerator(20240101)
	for range 6000 {
		documents = append(documents, g.document())
	}
	for range 6000 {
		documents = append(documents, g.broken(g.document()))
	}
	printed := nodePrints(t, documents)
	var taken, refused, malformed int
	for i, doc := range documents {
		got, err := webhook.Canonical(doc, false)
		if err == nil {
			taken++
			if !bytes.Equal(got, printed[i]) {
				t.Errorf("%.200q\n got %.200q\nwant %.200q", doc, got, printed[i])
			}
			continue
		}
		pe := problem.From(err)
		isJSON := printed[i] != nil
		if isJSON != (pe.Code == problem.Invalid) {
			t.Errorf("%.200q: got %v, Node prints %.200q", doc, err, printed[i])
		}
		if !isJSON {
			malformed++
			continue
		}
		refused++
		if numbersOnly(pe.Items) {
			kept, err := webhook.Canonical(doc, true)
			if err != nil || bytes.Equal(kept, printed[i]) {
				t.Errorf("%.200q is refused, but Node prints it unchanged: %.200q, %v", doc, kept, err)
			}
		}
	}
	t.Logf("%d documents: %d printed alike, %d refused, %d not JSON", len(documents), taken, refused, malformed)
	if taken < 5000 || refused < 500 || malformed < 1000 {
		t.Errorf("the generator is lopsided: %d printed alike, %d refused, %d not JSON", taken, refused, malformed)
	}
}

// numbersOnly reports whether all that is wrong is numbers that JavaScript
// would change.
func numbersOnly(items []problem.Item) bool {
	for _, it := range items {
		if it.Code != problem.NumberNotExact && it.Code != problem.NumberOverflow {
			return false
		}
	}
	return true
}

// nodePrints returns what Node prints for each document, nil for no JSON.
func nodePrints(t *testing.T, documents [][]byte) [][]byte {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is not installed, and this is CI")
		}
		t.Skip("node is not installed; what JavaScript prints is not checked")
	}
	in, err := json.Marshal(documents) // []byte is base64 in JSON
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", canonicalJS)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run node: %v", err)
	}
	var printed [][]byte
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatal(err)
	}
	if len(printed) != len(documents) {
		t.Fatalf("node printed %d documents of %d", len(printed), len(documents))
	}
	return printed
}

func handPicked() [][]byte {
	texts := []string{
		"", " ", "\ufeff{}", "{}", "[]", `""`, "0", "-0", "- 0", "00", "01", "-01", "+1", ".5", "5.", "1.e1", "1e", "1e+", "0x10", "1_000", "1n",
		"NaN", "Infinity", "-Infinity", "undefined", "True", "nul", "nulll", "null,", "truefalse", "{}{}", "[] []", "[,]", "[1,]", "[1 2]", "{,}", `{"a"}`, `{"a":}`,
		`{"a":1,}`, `{a:1}`, `{'a':1}`, `{"a":1 "b":2}`, `{"a",1}`, `{1:2}`, `{null:1}`, `{"a":1]`, `[1}`, "[", "{", `"`, `"\`, `"\u`, `"\u12`, `"\u123"`, `"\u12G4"`, `"\U0041"`,
		`"\x41"`, `"\'"`, `"\0"`, `"\a"`, `"\v"`, "\"\n\"", "\"\t\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\x00", "{}\x00", "\v{}", "\f{}", "\u00a0{}", "\u2028{}", "/**/{}", "//\n{}", "{}//",
		`{"__proto__":{"a":1},"constructor":2,"toString":3,"hasOwnProperty":4}`, `{"__proto__":null}`, `{"toJSON":1}`, `{"\u005f_proto__":1}`,
		`{"2":0,"1":0,"0":0}`, `{"00":0,"0":0,"-0":0}`, `{"4294967295":0,"4294967294":0,"4294967293":0}`, `{"4294967296":0,"1":0}`, `{"9007199254740991":0,"2":0}`,
		`{"18446744073709551615":0,"3":0}`, `{"1.0":0,"1":0,"1e0":0}`, `{" 1":0,"1 ":0,"1":0}`, `{"":0,"0":0}`, `{"a":{"1":0,"0":[{"b":0,"7":0}]},"5":0}`,
		`{"1":"\ud83d\ude00","0":"é"}`, "{\"\u0661\":0,\"1\":0}", `{"b":0,"99999999999999999999":0,"1":0}`,
		"1e400", "-1e400", "1e-400", "5e-324", "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "2.2250738585072014e-308",
		"1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "0.1e1", "1E5", "1e05", "1e-05", "1e+05", "123e-20", "0.000001", "0.0000001", "1e-6", "1e-7", "123456e-11",
		"1e20", "1e21", "123456789012345680000", "1234567890123456800000", "999999999999999900000", "999999999999999999999", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740994",
		"-9007199254740993", "18446744073709551615", "18446744073709551616", "1000000000000000000000", "1000000000000000000001", "4.35", "0.3", "2.675", "1.005", "100.000", "1.10", "-1.0", "-0.0", "-0e-0", "0e999999999", "1e999999999", "1e-999999999",
		`"\ud800"`, `"\udc00\ud800"`, `"\ud83d\ud83d\ude00"`, `"\uD83D\uDE00"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `{"\ud800":1}`, "\"\xed\xa0\x80\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"", "\xff", "[\"a\"\x80]",
		`"\u2028\u2029\u0085\u00ad\ufeff\ufffe\uffff\ufdd0"`, "\"\u2028\u2029\u0085\u00ad\ufeff\ufffe\uffff\ufdd0\U0010ffff\"", `"\/\b\f\n\r\t\"\\"`, `"</script>&<!--"`,
		strings.Repeat("[", 60) + strings.Repeat("]", 60), strings.Repeat("[", 60) + strings.Repeat("]", 59),
	}
	for _, n := range []int{700, 790, 799, 800, 801, 1000, 9999, 20_000, 150_000} { // zeros that the exponent makes up for
		zeros := strings.Repeat("0", n)
		for _, shift := range []int{-400, -330, -1, 0, 1, 290, 400} {
			texts = append(texts,
				fmt.Sprintf("1%se%d", zeros, shift-n), fmt.Sprintf("-9007199254740993%se%d", zeros, shift-n), fmt.Sprintf("9007199254740993%s1E%d", zeros, shift-n-1),
				fmt.Sprintf("12%s.5e-%d", zeros, n+shift), fmt.Sprintf("0.%s1e%d", zeros, n+shift), fmt.Sprintf("-0.%s90071992547409930001e+%d", zeros, max(0, n+shift)))
		}
		texts = append(texts, "0."+zeros, "-0."+zeros+"e9", "1."+zeros+"1", "1e"+zeros+"5", "1e-"+zeros+"5", "1"+zeros+"e-99999999999999999999", "0."+zeros+"1e99999999999999999999", "1"+zeros)
	}
	documents := make([][]byte, len(texts))
	for i, text := range texts {
		documents[i] = []byte(text)
	}
	return documents
}

// generator makes documents that are likely to be printed otherwise than they
// were written.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 5))} }

func (g generator) document() []byte {
	var b bytes.Buffer
	g.space(&b)
	g.value(&b, 0)
	g.space(&b)
	return b.Bytes()
}

// broken returns doc with a byte or two changed, dropped or doubled.
func (g generator) broken(doc []byte) []byte {
	doc = bytes.Clone(doc)
	for range 1 + g.IntN(2) {
		if len(doc) == 0 {
			return doc
		}
		i := g.IntN(len(doc))
		switch g.IntN(5) {
		case 0:
			doc = append(doc[:i], doc[i+1:]...)
		case 1:
			doc = append(doc[:i+1], doc[i:]...)
		case 2:
			doc[i] = " \"\\{}[]:,0-.eEtfnu/\n\x01"[g.IntN(21)]
		case 3:
			doc = doc[:i]
		default:
			doc[i] = byte(g.IntN(256))
		}
	}
	return doc
}

func (g generator) space(b *bytes.Buffer) {
	for g.IntN(4) == 0 {
		b.WriteByte(" \t\r\n"[g.IntN(4)])
	}
}

func (g generator) value(b *bytes.Buffer, depth int) {
	kind := g.IntN(8)
	if depth > 5 {
		kind = 2 + g.IntN(6)
	}
	if depth == 0 && kind > 3 {
		kind = 0
	}
	switch kind {
	case 0:
		g.object(b, depth)
	case 1:
		b.WriteByte('[')
		for i := range g.IntN(6) {
			if i > 0 {
				b.WriteByte(',')
			}
			g.space(b)
			g.value(b, depth+1)
			g.space(b)
		}
		b.WriteByte(']')
	case 2, 3:
		b.WriteString(g.number())
	case 4:
		b.WriteString([]string{"true", "false", "null"}[g.IntN(3)])
	default:
		g.string(b)
	}
}

func (g generator) object(b *bytes.Buffer, depth int) {
	seen := map[string]bool{}
	b.WriteByte('{')
	for range g.IntN(9) {
		var name bytes.Buffer
		if g.IntN(2) == 0 {
			name.WriteString(strconv.Quote(g.indexLike()))
		} else {
			g.string(&name)
		}
		var text string
		if json.Unmarshal(name.Bytes(), &text) != nil || seen[text] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[text] = true
		g.space(b)
		b.Write(name.Bytes())
		g.space(b)
		b.WriteByte(':')
		g.space(b)
		g.value(b, depth+1)
		g.space(b)
	}
	b.WriteByte('}')
}

func (g generator) indexLike() string {
	fixed := []string{"0", "00", "01", "1", "-0", "-1", "1.5", "1e3", "4294967293", "4294967294", "4294967295", "4294967296", "9007199254740991", "__proto__", "toJSON", "length", "", " 1", "+1", "0x1"}
	if g.IntN(2) == 0 {
		return fixed[g.IntN(len(fixed))]
	}
	return strconv.FormatUint(g.Uint64()>>(g.IntN(60)), 10)
}

func (g generator) number() string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + g.IntN(10))
		}
		return string(b)
	}
	sign := []string{"", "", "-"}[g.IntN(3)]
	switch g.IntN(10) {
	case 0:
		if g.IntN(10) == 0 {
			return sign + strconv.FormatUint(g.Uint64(), 10)
		}
		return sign + strconv.FormatUint(g.Uint64()>>(11+g.IntN(53)), 10)
	case 1: // around the end of the exact integers
		return sign + strconv.FormatUint(1<<53-20+g.Uint64N(24), 10)
	case 2: // any bits of a double, in the shortest form or a longer one
		f := math.Float64frombits(g.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return "0"
		}
		return strconv.FormatFloat(f, "eg"[g.IntN(2)], []int{-1, 17, 25}[g.IntN(3)], 64)
	case 3:
		return sign + strconv.Itoa(g.IntN(1000)) + "." + digits(1+g.IntN(25))
	case 4:
		return sign + strconv.Itoa(g.IntN(10)) + "." + digits(1+g.IntN(20)) + []string{"e", "E", "e+", "E-", "e-"}[g.IntN(5)] + strconv.Itoa(g.IntN(330))
	case 5: // large integers with zeros at their end
		return sign + strconv.Itoa(1+g.IntN(99999)) + strings.Repeat("0", g.IntN(25))
	case 6: // integers that are doubles, written out
		if g.IntN(4) > 0 {
			return "7"
		}
		return sign + strconv.FormatFloat(math.Ldexp(float64(1+g.Uint64N(1<<53)), g.IntN(20)), 'f', 0, 64)
	case 7:
		return sign + []string{"0", "0.0", "0e0", "1e21", "1e20", "1e-6", "1e-7", "123e-9", "5e-324", "1e22", "1e23"}[g.IntN(11)]
	default:
		return sign + strconv.Itoa(g.IntN(100000))
	}
}

func (g generator) string(b *bytes.Buffer) {
	b.WriteByte('"')
	for range g.IntN(10) {
		switch g.IntN(12) {
		case 0:
			b.WriteString([]string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`}[g.IntN(8)])
		case 1:
			fmt.Fprintf(b, `\u%04x`, g.IntN(0x30))
		case 2:
			fmt.Fprintf(b, `\u%04X`, 0x70+g.IntN(0x40))
		case 3:
			fmt.Fprintf(b, `\u%04X`, g.IntN(0xD800))
		case 4:
			fmt.Fprintf(b, `\u%04x\u%04X`, 0xD800+g.IntN(0x400), 0xDC00+g.IntN(0x400))
		case 5:
			if g.IntN(40) == 0 {
				fmt.Fprintf(b, `\u%04x`, 0xD800+g.IntN(0x800))
			}
		case 6:
			b.WriteRune([]rune{0x7F, 0x80, 0x9F, 0xA0, 0xE9, 0x301, 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0xFFFF, 0xE000, '😀', 0x10FFFF, 0x10000}[g.IntN(15)])
		case 7:
			b.WriteRune(rune(0x80 + g.IntN(0xD780)))
		case 8:
			b.WriteString([]string{"<", ">", "&", "'", "/", "</script>", "__proto__"}[g.IntN(7)])
		default:
			b.WriteByte("abcdefghijklmnopqrstuvwxyz 0123456789"[g.IntN(37)])
		}
	}
	b.WriteByte('"')
}
