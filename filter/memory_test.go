package filter_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/filter"
)

// TestOneWebhookTakesLittleMemory compiles and indexes the largest filters
// that pass: whoever may create a hundred thousand webhooks must not be able
// to fill the memory with a few kilobytes of text each.
func TestOneWebhookTakesLittleMemory(t *testing.T) {
	const webhooks, most = 200, 128 << 10
	values := make([]int, filter.MaxValues)
	tests := map[string]func(i int) (map[string]json.RawMessage, string){
		"many nodes": func(i int) (map[string]json.RawMessage, string) {
			return nil, fmt.Sprintf("data.count > %d", i) + strings.Repeat(" or data.a != data.b", 28)
		},
		"long text": func(i int) (map[string]json.RawMessage, string) {
			return nil, fmt.Sprintf(`data.count > %d and data.a != "`, i) + strings.Repeat("x", 4000) + `"`
		},
		"patterns": func(i int) (map[string]json.RawMessage, string) {
			return nil, fmt.Sprintf("data.count > %d", i) + strings.Repeat(` or id matches "(?:\\w{9})*(a?){50}"`, 1) + ` or id matches "\\pL\\pL\\pL\\pL"`
		},
		"values": func(i int) (map[string]json.RawMessage, string) {
			for k := range values {
				values[k] = i*len(values) + k
			}
			list, _ := json.Marshal(values)
			return entries("data.count", string(list)), ""
		},
		"a long path": func(i int) (map[string]json.RawMessage, string) {
			return entries(fmt.Sprint("data.n", i)+strings.Repeat(".a", filter.MaxPath-2), "1"), ""
		},
	}
	for name, generate := range tests {
		x := filter.NewIndex()
		before := heap()
		for i := range webhooks {
			filters, text := generate(i)
			x.Put(filter.Entry{ID: fmt.Sprint(i), ProjectID: "proj_123", Events: []string{"*"}, Rule: mustCompile(t, filters, text)})
		}
		each := (heap() - before) / webhooks
		t.Logf("%s: %d bytes", name, each)
		if each > most {
			t.Errorf("%s: %d bytes a webhook, want at most %d", name, each, most)
		}
		runtime.KeepAlive(x)
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
