package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/webhook"
)

// matchesOf gives the ids that Match finds, sorted; those with an error end
// in "!".
func matchesOf(x *filter.Index, ev *filter.Event) []string {
	ids := []string{}
	x.Match(ev, func(id string, err error) {
		if err != nil {
			id += "!"
		}
		ids = append(ids, id)
	})
	slices.Sort(ids)
	return ids
}

func TestIndexFindsByProjectTypeAndRule(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex()
	put := func(id, project string, rule *filter.Rule, events ...string) {
		x.Put(filter.Entry{ID: id, ProjectID: project, Events: events, Rule: rule})
	}
	put("plain", "proj_123", nil, "api_key.created")
	put("noun", "proj_123", nil, "api_key.*")
	put("all", "proj_123", nil, "*")
	put("overlap", "proj_123", nil, "api_key.created", "api_key.*", "*", "webhook.disabled")
	put("other type", "proj_123", nil, "api_key.revoked", "project.*")
	put("operational", "proj_123", nil, "webhook.*")
	put("other project", "proj_1", nil, "*")
	put("everywhere", webhook.AllProjects, nil, "*")
	put("equal", "proj_123", mustCompile(t, entries("project.name", `"My Project"`), ""), "*")
	put("unequal", "proj_123", mustCompile(t, entries("project.name", `"Other"`), ""), "*")
	put("any of", "proj_123", mustCompile(t, entries("data.count", `[5,6,7]`), ""), "*")
	put("null", "proj_123", mustCompile(t, entries("data.missing", `[null,7]`), ""), "*")
	put("expression", "proj_123", mustCompile(t, nil, `data.count > 5 and project.name == "My Project"`), "*")
	put("noun path", "proj_123", mustCompile(t, nil, `api_key.id == "key_123"`), "*")
	put("fails", "proj_123", mustCompile(t, nil, `data.missing > 5`), "*")
	put("fails elsewhere", "proj_123", mustCompile(t, nil, `data.missing > 5 and id == "evt_2"`), "*")
	put("none", "proj_123", nil)

	got := matchesOf(x, newEnvironment("api_key.created", keyData))
	want := []string{"all", "any of", "equal", "everywhere", "expression", "fails!", "noun", "noun path", "null", "overlap", "plain"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("api_key.created (-want +got):\n%s", diff)
	}
	got = matchesOf(x, newEnvironment("webhook.disabled", `{}`))
	if diff := cmp.Diff([]string{"operational", "overlap"}, got); diff != "" {
		t.Errorf("webhook.disabled (-want +got):\n%s", diff)
	}
}

func TestJudgeTellsWhy(t *testing.T) {
	t.Parallel()
	ev := newEnvironment("api_key.created", keyData)
	for _, tt := range []struct {
		project, event, text string
		want                 filter.Verdict
	}{
		{"proj_123", "*", `data.count > 5`, filter.Matches},
		{webhook.AllProjects, "*", `data.count > 5`, filter.Matches},
		{"proj_1", "*", `data.count > 5`, filter.OtherProject},
		{"proj_123", "project.*", `data.count > 5`, filter.NotSubscribed},
		{"proj_123", "*", `data.count > 6`, filter.Filtered},
		{"proj_123", "*", `data.missing > 6`, filter.Failed},
	} {
		e := filter.Entry{ID: "wh_1", ProjectID: tt.project, Events: []string{tt.event}, Rule: mustCompile(t, nil, tt.text)}
		got, err := e.Judge(ev)
		if got != tt.want || (err != nil) != (got == filter.Failed) {
			t.Errorf("%+v: %v, %v", tt, got, err)
		}
	}
}

// TestIndexAgreesWithJudge compares the index with a loop over all entries,
// while entries come, change and go.
func TestIndexAgreesWithJudge(t *testing.T) {
	t.Parallel()
	projects := []string{"proj_123", "proj_2", webhook.AllProjects}
	patterns := []string{"project.created", "project.updated", "project.*", "api_key.created", "api_key.*", "*", "webhook.disabled", "webhook.*", "webhook.custom", "usage.x.y"}
	types := []string{"project.created", "api_key.created", "webhook.disabled", "webhook.custom", "usage.x.y"}
	paths := []string{"data.a", "data.b", "data.a.b", "data.o.p", "project.name", "type", "id", "api_key.a", "data"}
	scalars := []string{`1`, `1.0`, `0`, `-0`, `"1"`, `"x"`, `true`, `false`, `null`, `"My Project"`, `"evt_1"`, `"project.created"`}
	values := append([]string{`{"b":1}`, `{"p":"x"}`, `[1]`, `[]`, `{}`}, scalars...)
	terms := []string{
		`data.a == 1`, `"x" == data.b`, `data.a in [1, "x", nil]`, `data.a in ["1", true]`, `project.name == "My Project"`,
		`data.a > 0`, `data.b != 1`, `data["a"]["b"] == 1`, `data.a == nil`, `api_key.a == -0.0`, `data.a == -1`, `true`,
		`(data.a == 1 or data.b == 1)`, `len(data.o ?? {}) > 0`, `not (data.a == 1)`,
	}
	rapid.Check(t, func(t *rapid.T) {
		x := filter.NewIndex()
		entries := map[string]filter.Entry{}
		scalar := rapid.SampledFrom(scalars)
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			id := fmt.Sprint("wh_", rapid.IntRange(0, 12).Draw(t, "id"))
			if rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
				x.Remove(id)
				delete(entries, id)
				continue
			}
			filters := map[string]json.RawMessage{}
			for range rapid.IntRange(0, 3).Draw(t, "filters") {
				value := scalar.Draw(t, "value")
				if rapid.Bool().Draw(t, "list") {
					value = "[" + value + "," + scalar.Draw(t, "value") + "]"
				}
				filters[rapid.SampledFrom(paths).Draw(t, "path")] = json.RawMessage(value)
			}
			text := ""
			for i := range rapid.IntRange(0, 3).Draw(t, "terms") {
				if i > 0 {
					text += " and "
				}
				text += rapid.SampledFrom(terms).Draw(t, "term")
			}
			rule, err := filter.Compile(nil, names, filters, text)
			if err != nil {
				t.Fatalf("Compile: %v", err)
			}
			e := filter.Entry{
				ID: id, ProjectID: rapid.SampledFrom(projects).Draw(t, "project"),
				Events: rapid.SliceOfN(rapid.SampledFrom(patterns), 1, 4).Draw(t, "events"), Rule: rule,
			}
			entries[id] = e
			x.Put(e)
		}
		if x.Len() != len(entries) {
			t.Fatalf("Len is %d, want %d", x.Len(), len(entries))
		}
		value := rapid.SampledFrom(values)
		for range 3 {
			data := fmt.Sprintf(`{"a":%s,"b":%s,"o":%s}`, value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "o"))
			eventType := rapid.SampledFrom(types).Draw(t, "type")
			want := []string{}
			for id, e := range entries {
				switch verdict, _ := e.Judge(newEnvironment(eventType, data)); verdict {
				case filter.Matches:
					want = append(want, id)
				case filter.Failed:
					want = append(want, id+"!")
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, matchesOf(x, newEnvironment(eventType, data))); diff != "" {
				t.Fatalf("%s %s (-want +got):\n%s", eventType, data, diff)
			}
		}
		for id := range entries {
			x.Remove(id)
		}
		if !x.Empty() {
			t.Fatal("the index keeps something of removed entries")
		}
	})
}

func TestEntriesWithLongListsAreFoundOnce(t *testing.T) {
	t.Parallel()
	var events, values []string
	for i := range 100 {
		events = append(events, fmt.Sprintf("noun%d.created", i))
		values = append(values, fmt.Sprint(i))
	}
	list, _ := json.Marshal(values)
	x := filter.NewIndex()
	x.Put(filter.Entry{ID: "long", ProjectID: "proj_123", Events: events, Rule: mustCompile(t, entries("data.a", string(list)), "")})
	for i, eventType := range events {
		if got := matchesOf(x, newEnvironment(eventType, fmt.Sprintf(`{"a":"%d"}`, i))); len(got) != 1 {
			t.Fatalf("%s: %v", eventType, got)
		}
	}
	if got := matchesOf(x, newEnvironment("other.created", `{"a":"1"}`)); len(got) != 0 {
		t.Errorf("another type: %v", got)
	}
}

func TestUnreadableEventIsAnErrorOfEachEntryThatLooksAtIt(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex()
	x.Put(filter.Entry{ID: "plain", ProjectID: "proj_123", Events: []string{"*"}})
	x.Put(filter.Entry{ID: "equal", ProjectID: "proj_123", Events: []string{"*"}, Rule: mustCompile(t, nil, `data.a.b == 1`)})
	x.Put(filter.Entry{ID: "project", ProjectID: "proj_123", Events: []string{"*"}, Rule: mustCompile(t, nil, `project.name == "x"`)})
	got := matchesOf(x, newEnvironment("project.created", `{broken`))
	if diff := cmp.Diff([]string{"equal!", "plain"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAllProjectsComeFirst keeps the operator's own webhooks out of reach of a
// project whose filters use up the time of its events.
func TestAllProjectsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := filter.NewIndex()
		slow, _ := filter.Compile(guest(func(*filter.Event) (bool, error) {
			time.Sleep(filter.MaxEventTime)
			return false, nil
		}), names, nil, "x")
		for i := range 10 {
			x.Put(filter.Entry{ID: fmt.Sprint(i), ProjectID: "proj_123", Events: []string{"*"}, Rule: slow})
		}
		x.Put(filter.Entry{ID: "wh_operator", ProjectID: webhook.AllProjects, Events: []string{"*"}, Rule: mustCompile(t, nil, `data.count > 1`)})
		failed := 0
		x.Match(newEnvironment("api_key.created", keyData), func(id string, err error) {
			switch {
			case id == "wh_operator" && err != nil:
				t.Errorf("the operator's filter: %v", err)
			case errors.Is(err, filter.ErrEventTime):
				failed++
			}
		})
		if failed != 9 {
			t.Errorf("%d of the project's own filters ran out of time, want 9", failed)
		}
	})
}

func TestSameTextSharesOneProgramWhileItIsUsed(t *testing.T) {
	const text = `data.count > 123456`
	first, err := filter.Expr.Compile(text, names)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := filter.Expr.Compile(text, names)
	if first != second {
		t.Error("two programs for one text")
	}
	other, _ := filter.Expr.Compile(text, filter.NewNames([]string{"order.paid"}))
	if first == other {
		t.Error("one program for two environments")
	}
	runtime.KeepAlive(first)
	before := filter.KnownPrograms()
	for i := range 100 {
		_ = mustCompile(t, nil, fmt.Sprintf(`data.unused > %d`, i))
	}
	for range 100 {
		if runtime.GC(); filter.KnownPrograms() <= before {
			return
		}
		time.Sleep(time.Millisecond) // the runtime runs cleanups when it likes
	}
	t.Errorf("%d programs are known, %d before: unused ones stay", filter.KnownPrograms(), before)
}

func TestIndexUnderConcurrentChange(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex()
	x.Put(filter.Entry{ID: "stays", ProjectID: "proj_123", Events: []string{"*"}, Rule: mustCompile(t, nil, `data.count == 6`)})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprint(w, "-", i%10)
				rule := mustCompile(t, nil, fmt.Sprintf(`data.count == %d and project.name != "x"`, i%7))
				x.Put(filter.Entry{ID: id, ProjectID: "proj_123", Events: []string{"api_key.*"}, Rule: rule})
				if i%3 == 0 {
					x.Remove(id)
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				if got := matchesOf(x, newEnvironment("api_key.created", keyData)); !slices.Contains(got, "stays") {
					t.Errorf("lost the entry that stays: %v", got)
				}
			}
		})
	}
	wg.Wait()
}
