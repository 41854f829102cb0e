package gateway_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestAnEventSaysWhyEachWebhookDidOrDidNotGetIt(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	sub := func(id, project, filter string, events ...string) webhook.Subscription {
		return webhook.Subscription{ID: id, URL: to.URL, ProjectID: project, Filter: filter, Events: events}
	}
	subs := []webhook.Subscription{
		sub("wh_all", webhook.AllProjects, "", "*"),
		sub("wh_broken", "proj_1", "data.nothing > 3", "*"),
		sub("wh_filtered", "proj_1", `project.name == "Other"`, "*"),
		sub("wh_got", "proj_1", `project.name == "My Project"`, "project.*"),
		sub("wh_other", "proj_2", "", "*"),
		sub("wh_unsubscribed", "proj_1", "", "api_key.created"),
	}
	mustApply(t, g, settings(t, subs...))
	d := mustDeliver(t, g, "wh_got", someEvent)
	mustApply(t, g, settings(t, append(subs, sub("wh_later", "proj_1", "", "*"))...))

	want := map[string]gateway.EventOutcome{
		"wh_all":          {Result: "delivered"},
		"wh_broken":       {Result: "filter_error"},
		"wh_filtered":     {Result: gateway.ResultFiltered, Computed: true},
		"wh_got":          {Result: "delivered", DeliveryID: d.ID},
		"wh_later":        {Result: gateway.ResultCreatedLater, Computed: true},
		"wh_unsubscribed": {Result: gateway.ResultNotSubscribed, Computed: true},
	}
	eventually(t, "all is delivered", func() bool { return len(mustList(t, g, "wh_all", webhook.Delivered)) == 1 })
	page, n := gateway.Page{Limit: 2}, 0
	for {
		detail, err := g.Event(t.Context(), everything, d.EventID, "", page)
		if err != nil {
			t.Fatal(err)
		}
		if len(detail.Body) == 0 || detail.ProjectID != "proj_1" || len(detail.Webhooks) > 2 {
			t.Errorf("event %+v", detail)
		}
		for _, got := range detail.Webhooks {
			n++
			w, ok := want[got.WebhookID]
			if !ok || got.Result != w.Result || got.Computed != w.Computed || (got.DeliveryID == "") != w.Computed {
				t.Errorf("%s: got %+v, want %+v", got.WebhookID, got, w)
			}
			if (got.Error != "") != (got.Result == "filter_error") {
				t.Errorf("%s: error %q", got.WebhookID, got.Error)
			}
		}
		if page.Cursor = detail.Next; page.Cursor == "" {
			break
		}
	}
	if n != len(want) {
		t.Errorf("%d webhooks, want %d", n, len(want))
	}
}

func TestAnEventListsWhatBecameOfItForDeletedWebhooks(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	sub := webhook.Subscription{ID: "wh_static", ProjectID: "proj_1"}
	mustApply(t, g, settings(t, sub))
	var ids []string
	for range 5 {
		ids = append(ids, mustCreate(t, g, gateway.WebhookSpec{URL: to.URL, Events: []string{"project.*"}}).ID)
	}
	unconcerned := mustCreate(t, g, gateway.WebhookSpec{URL: to.URL, Events: []string{"api_key.*"}})
	d := mustDeliver(t, g, ids[0], someEvent)
	for _, id := range ids {
		eventually(t, "all is delivered", func() bool { return len(mustList(t, g, id, webhook.Delivered)) == 1 })
	}
	for _, id := range append([]string{unconcerned.ID}, ids[1:4]...) {
		if err := g.DeleteWebhook(t.Context(), everything, id, ""); err != nil {
			t.Fatal(err)
		}
	}

	var got []string
	for page := (gateway.Page{Limit: 2}); ; {
		detail, err := g.Event(t.Context(), keyOf("proj_1"), d.EventID, "", page)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range detail.Webhooks {
			got = append(got, o.WebhookID)
			if o.Result != "delivered" || o.DeliveryID == "" || o.Computed {
				t.Errorf("outcome %+v, want its delivery", o)
			}
			if i == 0 && o.WebhookID == ids[0] { // a page that follows stays the same
				if err := g.DeleteWebhook(t.Context(), everything, o.WebhookID, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		if page.Cursor = detail.Next; page.Cursor == "" {
			break
		}
	}
	if want := append(ids, sub.ID); !slices.Equal(got, want) {
		t.Errorf("webhooks %v, want %v", got, want)
	}
}

func TestAnEventIDOfSeveralProjectsNeedsTheProject(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}))
	deliveries(t, g,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1"}}`,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_2"}}`)
	_, err := g.Event(t.Context(), everything, "evt_1", "", wholePage)
	wantProblem(t, err, problem.Conflict)
	_, err = g.Event(t.Context(), keyOf("proj_1", "proj_2", "proj_1"), "evt_1", "", wholePage)
	wantProblem(t, err, problem.Conflict)
	for _, key := range []*gateway.Key{everything, keyOf("proj_1", "proj_2")} {
		ev, err := g.Event(t.Context(), key, "evt_1", "proj_2", wholePage)
		if err != nil || ev.ProjectID != "proj_2" {
			t.Errorf("of proj_2: %+v, %v", ev.Event, err)
		}
	}
	ev, err := g.Event(t.Context(), keyOf("proj_1", "proj_3"), "evt_1", "", wholePage)
	if err != nil || ev.ProjectID != "proj_1" {
		t.Errorf("with one visible: %+v, %v", ev.Event, err)
	}
	_, err = g.Event(t.Context(), everything, "evt_2", "", wholePage)
	wantProblem(t, err, problem.NotFound)

	list, _, err := g.Events(t.Context(), everything, "proj_1", wholePage)
	if err != nil || len(list) != 1 || list[0].ID != "evt_1" {
		t.Errorf("events of proj_1: %+v, %v", list, err)
	}
}
