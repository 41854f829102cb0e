package filter_test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/webhook"
)

const matchesPerEvent = 10

// indexOf makes an index of n subscriptions of one project to one type, of
// which ten get the benchmark's event. text is a filter with %d for the group.
func indexOf(tb testing.TB, n int, text string) *filter.Index {
	tb.Helper()
	x := filter.NewIndex()
	for i := range n {
		rule := mustCompile(tb, nil, fmt.Sprintf(text, i/matchesPerEvent))
		x.Put(filter.Entry{ID: "wh_" + strconv.Itoa(i), ProjectID: "proj_123", Events: []string{"api_key.created"}, Rule: rule})
	}
	return x
}

// eventsFor makes events of groups all over an index of n subscriptions, so
// that what is looked up is not always in the processor's cache.
func eventsFor(n int) []*webhook.Event {
	events := make([]*webhook.Event, 1000)
	for i := range events {
		group := i * 7919 % (n / matchesPerEvent)
		events[i] = newEvent("api_key.created", fmt.Sprintf(`{"id":"key_123","name":"My API Key","group":%d,"permissions":["read","write"]}`, group))
	}
	return events
}

func matchOnce(tb testing.TB, x *filter.Index, event *webhook.Event) {
	found := 0
	x.Match(filter.NewEvent(event, nil, names), func(_ string, err error) {
		if err == nil {
			found++
		}
	})
	if found != matchesPerEvent {
		tb.Fatalf("%d matches, want %d", found, matchesPerEvent)
	}
}

// BenchmarkIndexMatch matches one event, decoding included, against growing
// numbers of subscriptions: equality terms, one type, ten matches. "median-ns"
// is the median over single matches, which a busy machine disturbs least, and
// "ratio" that median over the one of 100 subscriptions; it must stay below 2.
func BenchmarkIndexMatch(b *testing.B) {
	for _, form := range []struct{ name, text string }{
		{"equality", `data.group == %d`},
		{"equality with a common one", `data.name == "My API Key" and data.group == %d`},
		{"equality and expression", `data.group == %d and len(data.permissions) > 1`},
	} {
		var smallest float64
		for _, n := range []int{100, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", form.name, n), func(b *testing.B) {
				x, events := indexOf(b, n, form.text), eventsFor(n)
				runtime.GC()
				var each []time.Duration
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					event := events[i%len(events)]
					start := time.Now()
					matchOnce(b, x, event)
					each = append(each, time.Since(start))
				}
				slices.Sort(each)
				median := float64(each[len(each)/2])
				b.ReportMetric(median, "median-ns")
				if n == 100 {
					smallest = median
				}
				if smallest > 0 {
					b.ReportMetric(median/smallest, "ratio")
				}
			})
		}
	}
}

// BenchmarkIndexWithoutFilters is the hot path of an installation that filters
// by type only: nothing is decoded.
func BenchmarkIndexWithoutFilters(b *testing.B) {
	x := filter.NewIndex()
	for i := range matchesPerEvent {
		x.Put(filter.Entry{ID: strconv.Itoa(i), ProjectID: "proj_123", Events: []string{"*"}})
	}
	event := newEvent("api_key.created", keyData)
	b.ReportAllocs()
	for b.Loop() {
		x.Match(filter.NewEvent(event, nil, names), func(string, error) {})
	}
}

func BenchmarkRuleMatch(b *testing.B) {
	for _, text := range []string{
		`data.count > 5`,
		`data.name startsWith "My" and data.owner.age > 40`,
		`any(data.items, .price > 10)`,
		`data.name matches "^My .*Key$"`,
	} {
		b.Run(text, func(b *testing.B) {
			rule := mustCompile(b, nil, text)
			ev := newEnvironment("api_key.created", keyData)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%10_000 == 0 {
					ev = newEnvironment("api_key.created", keyData) // an event's time is limited
				}
				if got, err := rule.Match(ev); !got || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	event := newEvent("api_key.created", keyData)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.NewEvent(event, nil, names).Variables(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		mustCompile(b, nil, fmt.Sprintf(`data.count > %d and project.name startsWith "x"`, i))
	}
}

func BenchmarkPut(b *testing.B) {
	x := indexOf(b, 100_000, `data.group == %d`)
	rule := mustCompile(b, nil, `data.group == 1`)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Put(filter.Entry{ID: "wh_" + strconv.Itoa(i%100_000), ProjectID: "proj_123", Events: []string{"api_key.created"}, Rule: rule})
	}
}

// TestMatchDoesNotGrowWithSubscriptions holds the index to its promise with
// room for a busy machine: the benchmark gives the exact ratio.
func TestMatchDoesNotGrowWithSubscriptions(t *testing.T) {
	fastest := func(n int) time.Duration {
		x, events := indexOf(t, n, `data.name == "My API Key" and data.group == %d`), eventsFor(n)
		best := time.Hour
		for _, event := range events {
			start := time.Now()
			matchOnce(t, x, event)
			best = min(best, time.Since(start))
		}
		return best
	}
	small, large := fastest(100), fastest(20_000)
	t.Logf("100 subscriptions: %v, 20 000: %v", small, large)
	if large > 10*small {
		t.Errorf("20 000 subscriptions take %v, 100 take %v", large, small)
	}
}
