package webhook_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// smallEvent is an event of 500 bytes as a producer in JavaScript would send it.
var smallEvent = padTo(500, `{"type":"api_key.created","project":{"id":"proj_123","name":"My Project"},"data":{"id":"key_123","name":"My API Key",`+
	`"permissions":["read","write"],"limits":{"per_minute":600,"burst":12.5,"enabled":true,"note":null},"owner":{"id":"usr_9","email":"someone@example.com"},`+
	`"metadata":{"region":"eu-west-1","env":"production","ticket":"OPS-1234"},"description":"%s"},"created_at":"2024-01-01T00:00:00Z"}`)

// padTo fills the %s of format so that the result has size bytes.
func padTo(size int, format string) []byte {
	return fmt.Appendf(nil, format, strings.Repeat("x", size-len(format)+len("%s")))
}

// spacedEvent is smallEvent as a program that indents its JSON would send it,
// with escapes and numbers that are not canonical.
func spacedEvent() []byte {
	event := bytes.ReplaceAll(smallEvent, []byte(`,"`), []byte(",\n  \""))
	event = bytes.ReplaceAll(event, []byte("12.5"), []byte("12.50"))
	return bytes.ReplaceAll(event, []byte("My API Key"), []byte(`My \u0041PI\/Key`))
}

// largeEvent has 64 KiB and many members.
func largeEvent() []byte {
	var b bytes.Buffer
	b.WriteString(`{"type":"usage.limit_exceeded","project_id":"proj_123","data":{"items":[`)
	for i := 0; b.Len() < 64<<10-160; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"item_%d","used":%d,"share":%d.25,"name":"Größe %d","tags":["a","b"],"on":true}`, i, i*1000, i, i)
	}
	b.WriteString(`]}}`)
	return b.Bytes()
}

func BenchmarkOne(b *testing.B) {
	for _, bm := range []struct {
		name string
		body []byte
	}{
		{"500B", smallEvent},
		{"500B not canonical", spacedEvent()},
		{"64KiB", largeEvent()},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := &webhook.Intake{}
			b.SetBytes(int64(len(bm.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := in.One(bm.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOneAndEvent is all that the hot path does with an event here.
func BenchmarkOneAndEvent(b *testing.B) {
	in := &webhook.Intake{}
	now := time.Now()
	b.SetBytes(int64(len(smallEvent)))
	b.ReportAllocs()
	for b.Loop() {
		input, err := in.One(smallEvent)
		if err != nil {
			b.Fatal(err)
		}
		if e := input.Event(now, webhook.DefaultAPIVersion); len(e.Body) == 0 {
			b.Fatal("no body")
		}
	}
}

func BenchmarkBatchOf1000(b *testing.B) {
	array := append([]byte{'['}, bytes.Repeat(append(bytes.Clone(smallEvent), ','), 1000)...)
	array[len(array)-1] = ']'
	lines := bytes.Repeat(append(bytes.Clone(smallEvent), '\n'), 1000)
	in := &webhook.Intake{}
	for _, bm := range []struct {
		name string
		body []byte
		read func([]byte) ([]webhook.Item, error)
	}{{"array", array, in.Array}, {"lines", lines, in.Lines}} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.body)))
			b.ReportAllocs()
			for b.Loop() {
				if items, err := bm.read(bm.body); err != nil || len(items) != 1000 {
					b.Fatal(len(items), err)
				}
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, bm := range []struct {
		name string
		body []byte
	}{
		{"500B canonical", smallEvent},
		{"500B not canonical", spacedEvent()},
		{"64KiB canonical", largeEvent()},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := webhook.Canonical(bm.body, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostile is what events of 256 KiB cost that are made to be costly.
func BenchmarkHostile(b *testing.B) {
	const size = webhook.DefaultMaxSize - 1000
	fill := func(n int, text string) string { return strings.Repeat(text, n/len(text)) }
	var indexes strings.Builder
	for i := range webhook.MaxMembers {
		fmt.Fprintf(&indexes, `,"%d":0`, webhook.MaxMembers-i)
	}
	for _, bm := range []struct{ name, doc string }{
		{"deep", fill(size/2, "[") + fill(size/2, "]")},
		{"surrogates behind a long name", `{"` + fill(size/2, "n") + `":[` + fill(size/2, `"\ud800",`) + `0]}`},
		{"long names", `{"` + fill(size/2, `\u0000`) + `":1e999,"` + fill(size/2, `\u0000`) + `":1e999}`},
		{"the same name", `{` + fill(9_999*6, `"a":0,`) + `"b":0}`},
		{"descending indexes", `{` + indexes.String()[1:] + `}`},
		{"long numbers", `[` + fill(size, "1."+fill(780, "1234567890")+"e-290,") + `0]`},
		{"half-way numbers", `[` + fill(size, "9007199254740993.00000000000000000001e-30,") + `0]`},
		{"empty objects", `[` + fill(size, `{},`) + `0]`},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = webhook.Canonical([]byte(bm.doc), false)
			}
		})
	}
}
