package gateway_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestAFilterIsTriedOnAnEnvelopeOrAStoredEvent(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}))
	deliveries(t, g, `{"id":"evt_1","type":"project.created","data":{"id":"proj_1","name":"My Project"}}`)
	key := `{"type":"api_key.created","project_id":"proj_1","data":{"n":5}}`
	for name, c := range map[string]struct {
		test    gateway.FilterTest
		match   bool
		runtime bool
	}{
		"an envelope":           {gateway.FilterTest{Filter: "data.n > 3", Envelope: []byte(key)}, true, false},
		"what is remembered":    {gateway.FilterTest{Filter: `project.name == "My Project"`, Envelope: []byte(key)}, true, false},
		"what the event says":   {gateway.FilterTest{Filter: `project.name == "New"`, Envelope: []byte(`{"type":"api_key.created","project":{"id":"proj_1","name":"New"},"data":{}}`)}, true, false},
		"the map":               {gateway.FilterTest{Filters: map[string]json.RawMessage{"data.n": json.RawMessage(`[4,6]`)}, Envelope: []byte(key)}, false, false},
		"both":                  {gateway.FilterTest{Filter: "data.n > 3", Filters: map[string]json.RawMessage{"data.n": json.RawMessage(`5.0`)}, Envelope: []byte(key)}, true, false},
		"a failure":             {gateway.FilterTest{Filter: "data.m > 3", Envelope: []byte(key)}, false, true},
		"a stored event":        {gateway.FilterTest{Filter: `data.name == "My Project"`, EventID: "evt_1"}, true, false},
		"of a project":          {gateway.FilterTest{Filter: `data.name == "Other"`, EventID: "evt_1", ProjectID: "proj_1"}, false, false},
		"the same project":      {gateway.FilterTest{Filter: "data.n > 3", Envelope: []byte(key), ProjectID: "proj_1"}, true, false},
		"an envelope's project": {gateway.FilterTest{Filter: `project.id == "proj_1"`, Envelope: []byte(`{"type":"api_key.created","data":{}}`), ProjectID: "proj_1"}, true, false},
	} {
		got, err := g.TestFilter(t.Context(), keyOf("proj_1"), c.test)
		if err != nil || got.Match != c.match || (got.Err != nil) != c.runtime {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if list, _, err := g.Events(t.Context(), everything, "proj_1", wholePage); err != nil || len(list) != 1 {
		t.Errorf("trying stored something: %d events, %v", len(list), err)
	}

	for name, test := range map[string]gateway.FilterTest{
		"an envelope of another project": {Filter: "true", Envelope: []byte(key)},
		"an event of another project":    {Filter: "true", EventID: "evt_1"},
		"an event of none of its own":    {Filter: "true", EventID: "evt_1", ProjectID: "proj_2"},
		"another project":                {Filter: "true", EventID: "evt_1", ProjectID: "proj_1"},
	} {
		if _, err := g.TestFilter(t.Context(), keyOf("proj_2"), test); problem.From(err).Code != problem.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAllThatIsWrongWithAFilterTestIsToldAtOnce(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	for name, c := range map[string]struct {
		test gateway.FilterTest
		want []string
	}{
		"a filter and an envelope": {
			gateway.FilterTest{Filter: "nothing == 1", Envelope: []byte(`{"type":"odd.type","project_id":"p","data":{},"x":1}`)},
			[]string{"#/filter", "#/event/x", "#/event/type"},
		},
		"nothing": {gateway.FilterTest{}, []string{"#/filter", "#/event"}},
		"both":    {gateway.FilterTest{Filter: "true", Envelope: []byte(`{}`), EventID: "evt_1"}, []string{"#/event_id"}},
		"two projects": {
			gateway.FilterTest{Filter: "true", Envelope: []byte(`{"type":"api_key.created","project_id":"proj_1","data":{}}`), ProjectID: "proj_2"},
			[]string{"#/project_id"},
		},
		"a project beside that of a project event": {
			gateway.FilterTest{Filter: "true", Envelope: []byte(someEvent), ProjectID: "proj_2"}, []string{"#/project_id"},
		},
		"an odd project beside another": {
			gateway.FilterTest{Filter: "true", Envelope: []byte(someEvent), ProjectID: "two words"}, []string{"#/project_id"},
		},
		"no project": {gateway.FilterTest{Filter: "true", Envelope: []byte(`{"type":"api_key.created","data":{}}`)}, []string{"#/event/project_id"}},
	} {
		_, err := g.TestFilter(t.Context(), everything, c.test)
		e := problem.From(err)
		if e.Code != problem.Invalid || len(e.Items) != len(c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, item := range e.Items {
			if item.Pointer != c.want[i] {
				t.Errorf("%s: pointer %s, want %s", name, item.Pointer, c.want[i])
			}
			if item.Pointer == "#/filter" && c.test.Filter != "" && (item.Line != 1 || item.Column == 0) {
				t.Errorf("%s: line %d, column %d", name, item.Line, item.Column)
			}
		}
	}
}

func TestTriedFiltersTakeNoMoreThanTheirTime(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		set := settings(t, webhook.Subscription{ID: "wh_1", ProjectID: "proj_1", URL: deadURL, Filter: "slow"})
		set.Engines = map[string]filter.Engine{gateway.DefaultEngine: slowEngine{}}
		s.open(set)
		try := func() error {
			v, err := s.g.TestFilter(t.Context(), everything, gateway.FilterTest{Filter: "slow", Envelope: []byte(someEvent)})
			if err != nil {
				t.Fatal(err)
			}
			return v.Err
		}
		var failed error
		for range 100 {
			if failed = try(); failed != nil {
				break
			}
		}
		if !errors.Is(failed, filter.ErrProjectTime) {
			t.Errorf("after 100 slow filters: %v", failed)
		}
		if n := deliveries(t, s.g, someEvent); n[0] != 0 {
			t.Errorf("an event has %v deliveries, want none: its filter does not match", n)
		}
		if page, err := s.store.Deliveries(t.Context(), queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1}); err != nil || len(page.Deliveries) > 0 {
			t.Errorf("the filter of an event was refused: %v, %v", page.Deliveries, err)
		}
		time.Sleep(time.Minute)
		if err := try(); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		s.close()
	})
}
