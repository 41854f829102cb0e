package gateway_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// accessWorld has a thing of each sort that a key may see or not, of the projects
// proj_1, proj_2 and of all.
type accessWorld struct {
	t *testing.T
	g *gateway.Gateway

	created, createdOther, deleted string            // ids of webhooks of the API
	deliveries                     map[string]string // ids of those of proj_1, by webhook; of wh_two that of proj_2
	tested                         string            // the delivery of a test event for wh_all
	event, eventOther, eventAll    string
	replays                        map[string]string // by webhook
}

func newAccessWorld(t *testing.T) *accessWorld {
	g, _ := mustOpen(t, t.TempDir(), nil)
	w := &accessWorld{t: t, g: g, deliveries: make(map[string]string), replays: make(map[string]string)}
	to := newReceiver(t, 200)
	with := func(left ...webhook.Subscription) *gateway.Settings {
		s := settings(t, append([]webhook.Subscription{
			{ID: "wh_one", URL: to.URL, ProjectID: "proj_1"},
			{ID: "wh_two", URL: to.URL, ProjectID: "proj_2"},
			{ID: "wh_all", URL: to.URL},
		}, left...)...)
		s.Keys = []gateway.Key{{Name: "linker", Hash: gateway.HashToken("a-token-of-proj_1"), Projects: []string{"proj_1"}, Scopes: gateway.Scopes}}
		return s
	}
	before := mustApply(t, g, with(
		webhook.Subscription{ID: "wh_left", URL: to.URL, ProjectID: "proj_1"},
		webhook.Subscription{ID: "wh_left_all", URL: to.URL},
	))
	create := func(project string) string {
		made, _, err := g.CreateWebhook(t.Context(), everything, project, gateway.WebhookSpec{URL: to.URL, Events: []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	w.created, w.createdOther, w.deleted = create("proj_1"), create("proj_2"), create("proj_1")

	w.eventOther = "evt_other"
	w.deliveries["wh_two"] = mustDeliver(t, g, "wh_two", `{"id":"evt_other","type":"project.created","data":{"id":"proj_2"}}`).ID
	w.event = "evt_own"
	first := mustDeliver(t, g, "wh_one", `{"id":"evt_own","type":"project.created","data":{"id":"proj_1"}}`)
	w.deliveries["wh_one"] = first.ID
	eventually(t, "all is delivered", func() bool { return g.Pending() == 0 })
	for _, id := range []string{"wh_all", "wh_left", "wh_left_all", w.created, w.deleted} {
		list, _, err := g.Deliveries(t.Context(), everything, id, gateway.DeliveryFilter{EventID: w.event}, wholePage)
		if err != nil || len(list) != 1 {
			t.Fatalf("deliveries of %s: %v, %v", id, list, err)
		}
		w.deliveries[id] = list[0].ID
	}
	test, err := g.SendTest(t.Context(), everything, "wh_all", gateway.TestRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w.tested, w.eventAll = test.ID, test.EventID
	for _, id := range []string{"wh_one", "wh_two", "wh_all", "wh_left", "wh_left_all", w.deleted} {
		run, err := g.Replay(t.Context(), everything, id, gateway.ReplayRequest{Since: since})
		if err != nil {
			t.Fatal(err)
		}
		w.replays[id] = run.ID
	}
	if err := g.DeleteWebhook(t.Context(), everything, w.deleted, ""); err != nil {
		t.Fatal(err)
	}
	mustApply(t, g, with())
	g.Withdraw(before)
	return w
}

// linked returns the key of a session of the dashboard that began with a link.
func (w *accessWorld) linked() *gateway.Key {
	w.t.Helper()
	by, err := w.g.AuthenticateFrom(netip.MustParseAddr("127.0.0.1"), "a-token-of-proj_1")
	if err != nil {
		w.t.Fatal(err)
	}
	link, err := w.g.CreateLink(w.t.Context(), by, "proj_1")
	if err != nil {
		w.t.Fatal(err)
	}
	token, _, err := w.g.OpenLink(w.t.Context(), link.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	session, err := w.g.Session(w.t.Context(), token)
	if err != nil {
		w.t.Fatal(err)
	}
	return session.By
}

// access says in a word what a key got: yes, also if the thing is there but in no
// state for what was asked.
func access(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[*problem.Error](err)
	switch {
	case err == nil, ok && e.Code == problem.Conflict:
		return "yes"
	case ok && e.Code == problem.NotFound:
		return "404"
	case ok && e.Code == problem.ScopeMissing:
		return "403"
	case ok && e.Code == problem.Unauthorized:
		return "401"
	}
	t.Errorf("unexpected error: %v", err)
	return "?"
}

func TestWhoSeesWhat(t *testing.T) {
	w := newAccessWorld(t)
	g, ctx := w.g, t.Context()
	read := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.Webhook(ctx, by, id); return err }
	}
	change := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error {
			_, err := g.ChangeWebhook(ctx, by, id, "", func(*gateway.WebhookSpec) {})
			return err
		}
	}
	history := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error {
			list, _, err := g.Deliveries(ctx, by, id, gateway.DeliveryFilter{EventID: w.event}, wholePage)
			if err == nil && len(list) == 0 && id != "wh_two" {
				return errors.New("empty history")
			}
			return err
		}
	}
	dry := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error {
			_, err := g.Replay(ctx, by, id, gateway.ReplayRequest{Since: since, DryRun: true})
			return err
		}
	}
	try := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.SendTest(ctx, by, id, gateway.TestRequest{}); return err }
	}
	delivery := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.Delivery(ctx, by, id); return err }
	}
	retry := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.Retry(ctx, by, id); return err }
	}
	event := func(id, project string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.Event(ctx, by, id, project, wholePage); return err }
	}
	events := func(project string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, _, err := g.Events(ctx, by, project, wholePage); return err }
	}
	hooks := func(project string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, _, err := g.Webhooks(ctx, by, project, wholePage); return err }
	}
	replay := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.ReplayStatus(ctx, by, id); return err }
	}
	cancel := func(id string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.CancelReplay(ctx, by, id); return err }
	}
	link := func(project string) func(*gateway.Key) error {
		return func(by *gateway.Key) error { _, err := g.CreateLink(ctx, by, project); return err }
	}
	tried := func(id, project string) func(*gateway.Key) error {
		return func(by *gateway.Key) error {
			_, err := g.TestFilter(ctx, by, gateway.FilterTest{Filter: "true", EventID: id, ProjectID: project})
			return err
		}
	}

	one := []string{"proj_1"}
	readAndManage := []gateway.Scope{gateway.ScopeRead, gateway.ScopeManage}
	keys := []*gateway.Key{ // the columns of the table
		{Name: "reader of proj_1", Scopes: []gateway.Scope{gateway.ScopeRead}, Projects: one},
		{Name: "manager of proj_1", Scopes: readAndManage, Projects: one},
		w.linked(),
		{Name: "reader of all", Scopes: []gateway.Scope{gateway.ScopeRead}},
		{Name: "manager of all", Scopes: readAndManage},
		{Name: "publisher", Scopes: []gateway.Scope{gateway.ScopeIngest}},
		nil,
	}
	for _, row := range []struct {
		what string
		do   func(*gateway.Key) error
		want string
	}{
		//                                       of proj_1:  read manage link  of all:  read manage  ingest nobody
		{"read own", read(w.created), "              yes yes yes   yes yes   403 401"},
		{"read other", read(w.createdOther), "       404 404 404   yes yes   403 401"},
		{"read static", read("wh_one"), "            yes yes yes   yes yes   403 401"},
		{"read other static", read("wh_two"), "      404 404 404   yes yes   403 401"},
		{"read project *", read("wh_all"), "         404 404 404   yes yes   403 401"},
		{"read parked", read("wh_left"), "           404 404 404   404 404   403 401"},
		{"read parked *", read("wh_left_all"), "     404 404 404   404 404   403 401"},
		{"read deleted", read(w.deleted), "          404 404 404   404 404   403 401"},

		{"change own", change(w.created), "          403 yes yes   403 yes   403 401"},
		{"change other", change(w.createdOther), "   403 404 404   403 yes   403 401"},
		{"change static", change("wh_one"), "        403 yes yes   403 yes   403 401"},
		{"change other static", change("wh_two"), "  403 404 404   403 yes   403 401"},
		{"change project *", change("wh_all"), "     403 404 404   403 yes   403 401"},
		{"change parked", change("wh_left"), "       403 404 404   403 404   403 401"},
		{"change parked *", change("wh_left_all"), " 403 404 404   403 404   403 401"},
		{"change deleted", change(w.deleted), "      403 404 404   403 404   403 401"},

		{"history of own", history(w.created), "     yes yes yes   yes yes   403 401"},
		{"history of static", history("wh_one"), "   yes yes yes   yes yes   403 401"},
		{"history of other", history("wh_two"), "    404 404 404   yes yes   403 401"},
		{"history of *", history("wh_all"), "        404 404 404   yes yes   403 401"},
		{"history of parked", history("wh_left"), "  yes yes yes   yes yes   403 401"},
		{"of parked *", history("wh_left_all"), "    404 404 404   yes yes   403 401"},
		{"history of deleted", history(w.deleted), " 404 404 404   404 404   403 401"},

		{"count of static", dry("wh_one"), "         403 yes yes   403 yes   403 401"},
		{"count of other", dry("wh_two"), "          403 404 404   403 yes   403 401"},
		{"count of *", dry("wh_all"), "              403 404 404   403 yes   403 401"},
		{"count of parked", dry("wh_left"), "        403 yes yes   403 yes   403 401"},
		{"count of parked *", dry("wh_left_all"), "  403 404 404   403 yes   403 401"},
		{"count of deleted", dry(w.deleted), "       403 404 404   403 404   403 401"},

		{"test of own", try(w.created), "            403 yes yes   403 yes   403 401"},
		{"test of other", try("wh_two"), "           403 404 404   403 yes   403 401"},
		{"test of *", try("wh_all"), "               403 404 404   403 yes   403 401"},
		{"test of parked", try("wh_left"), "         403 yes yes   403 yes   403 401"},
		{"test of deleted", try(w.deleted), "        403 404 404   403 404   403 401"},

		{"delivery of own", delivery(w.deliveries[w.created]), "         yes yes yes   yes yes   403 401"},
		{"delivery of static", delivery(w.deliveries["wh_one"]), "       yes yes yes   yes yes   403 401"},
		{"delivery of other", delivery(w.deliveries["wh_two"]), "        404 404 404   yes yes   403 401"},
		{"delivery of *", delivery(w.deliveries["wh_all"]), "            404 404 404   yes yes   403 401"},
		{"delivery of parked", delivery(w.deliveries["wh_left"]), "      yes yes yes   yes yes   403 401"},
		{"delivery of parked *", delivery(w.deliveries["wh_left_all"]), "404 404 404   yes yes   403 401"},
		{"delivery of deleted", delivery(w.deliveries[w.deleted]), "     yes yes yes   yes yes   403 401"},
		{"delivery of a test of *", delivery(w.tested), "                404 404 404   yes yes   403 401"},
		{"no delivery", delivery("dlv_none"), "                          404 404 404   404 404   403 401"},

		{"retry of static", retry(w.deliveries["wh_one"]), "             403 yes yes   403 yes   403 401"},
		{"retry of other", retry(w.deliveries["wh_two"]), "              403 404 404   403 yes   403 401"},
		{"retry of *", retry(w.deliveries["wh_all"]), "                  403 404 404   403 yes   403 401"},
		{"retry of parked", retry(w.deliveries["wh_left"]), "            403 yes yes   403 yes   403 401"},
		{"retry of parked *", retry(w.deliveries["wh_left_all"]), "      403 404 404   403 yes   403 401"},
		{"retry of deleted", retry(w.deliveries[w.deleted]), "           403 yes yes   403 yes   403 401"},

		{"event", event(w.event, ""), "              yes yes yes   yes yes   403 401"},
		{"event of its project", event(w.event, "proj_1"), "             yes yes yes   yes yes   403 401"},
		{"event of another", event(w.event, "proj_2"), "                 404 404 404   404 404   403 401"},
		{"other event", event(w.eventOther, ""), "   404 404 404   yes yes   403 401"},
		{"other event, named", event(w.eventOther, "proj_2"), "          404 404 404   yes yes   403 401"},
		{"event of *", event(w.eventAll, webhook.AllProjects), "         404 404 404   yes yes   403 401"},
		{"filter on event", tried(w.event, ""), "    yes yes yes   yes yes   403 401"},
		{"filter on other event", tried(w.eventOther, ""), "             404 404 404   yes yes   403 401"},
		{"filter on other event, named", tried(w.eventOther, "proj_2"), "404 404 404   yes yes   403 401"},

		{"events of proj_1", events("proj_1"), "     yes yes yes   yes yes   403 401"},
		{"events of proj_2", events("proj_2"), "     404 404 404   yes yes   403 401"},
		{"events of *", events("*"), "               404 404 404   yes yes   403 401"},
		{"events of no project", events("?"), "      404 404 404   404 404   403 401"},
		{"webhooks of proj_1", hooks("proj_1"), "    yes yes yes   yes yes   403 401"},
		{"webhooks of proj_2", hooks("proj_2"), "    404 404 404   yes yes   403 401"},
		{"webhooks of *", hooks("*"), "              404 404 404   404 404   403 401"},
		{"link to proj_1", link("proj_1"), "         yes yes yes   yes yes   403 401"},
		{"link to proj_2", link("proj_2"), "         404 404 404   yes yes   403 401"},
		{"link to *", link("*"), "                   404 404 404   404 404   403 401"},
		{"overview", func(by *gateway.Key) error { _, err := g.Overview(ctx, by); return err }, "            404 404 404   yes yes   403 401"},
		{"projects", func(by *gateway.Key) error { _, _, err := g.Projects(ctx, by, wholePage); return err }, " yes yes yes   yes yes   403 401"},

		{"replay of static", replay(w.replays["wh_one"]), "              yes yes yes   yes yes   403 401"},
		{"replay of other", replay(w.replays["wh_two"]), "               404 404 404   yes yes   403 401"},
		{"replay of *", replay(w.replays["wh_all"]), "                   404 404 404   yes yes   403 401"},
		{"replay of parked", replay(w.replays["wh_left"]), "             yes yes yes   yes yes   403 401"},
		{"replay of parked *", replay(w.replays["wh_left_all"]), "       404 404 404   yes yes   403 401"},
		{"replay of deleted", replay(w.replays[w.deleted]), "            yes yes yes   yes yes   403 401"},
		{"cancel replay of static", cancel(w.replays["wh_one"]), "       403 yes yes   403 yes   403 401"},
		{"cancel replay of other", cancel(w.replays["wh_two"]), "        403 404 404   403 yes   403 401"},
		{"cancel replay of *", cancel(w.replays["wh_all"]), "            403 404 404   403 yes   403 401"},
	} {
		t.Run(row.what, func(t *testing.T) {
			want := strings.Fields(row.want)
			for i, by := range keys {
				name := "nobody"
				if by != nil {
					name = by.Name
				}
				if got := access(t, row.do(by)); got != want[i] {
					t.Errorf("%s: %s, want %s", name, got, want[i])
				}
			}
		})
	}
}

// Of what a key may see, it sees no part that is of another project.
func TestEventsTellOfTheWebhooksThatAKeySees(t *testing.T) {
	w := newAccessWorld(t)
	for _, c := range []struct {
		by   *gateway.Key
		want []string
	}{
		{keyOf("proj_1"), []string{"wh_left", "wh_one", w.created, w.deleted}},
		{everything, []string{"wh_all", "wh_left", "wh_left_all", "wh_one", w.created, w.deleted}},
	} {
		detail, err := w.g.Event(t.Context(), c.by, w.event, "", wholePage)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]bool)
		for _, o := range detail.Webhooks {
			got[o.WebhookID] = true
		}
		for _, id := range c.want {
			if !got[id] {
				t.Errorf("%s is not told of %s", c.by.Name, id)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s is told of %v, want %v", c.by.Name, got, c.want)
		}
	}
}
