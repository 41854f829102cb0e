package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The stores of these tests do housekeeping many times a second, so their time
// is short: what takes days with the default settings takes minutes here.
const (
	hour         = time.Hour
	disableAfter = 30 * time.Minute
	retention    = 20 * time.Minute

	// deadURL is refused at once: nobody listens there.
	deadURL = "http://127.0.0.1:1/hook?token=s3cret"
)

// inbox is a receiver that keeps what it gets. It lives outside of any bubble
// and closes its connections, so that none holds up a bubble's time.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	events []event
}

type event struct {
	Type string         `json:"type"`
	Data map[string]any `json:"data"`
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{status: 200}
	in.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.mu.Lock()
		defer in.mu.Unlock()
		var e event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Errorf("body: %v", err)
		}
		in.events = append(in.events, e)
		w.WriteHeader(in.status)
	}))
	in.Config.SetKeepAlivesEnabled(false)
	in.Start()
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) answer(status int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.status = status
}

// take returns what came since the last take.
func (in *inbox) take() []event {
	in.mu.Lock()
	defer in.mu.Unlock()
	events := in.events
	in.events = nil
	return events
}

// site is a gateway that can be opened again over the same directory.
type site struct {
	t         *testing.T
	dir       string
	g         *gateway.Gateway
	store     *queuetest.FaultyStore
	mu        sync.Mutex
	announced []gateway.Announcement
}

func (s *site) open(set *gateway.Settings) *gateway.Generation {
	s.t.Helper()
	opened, err := badgerstore.Open(badgerstore.Options{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	store := queuetest.Faulty(opened)
	s.store = store
	s.g, err = gateway.Open(context.Background(), gateway.Options{
		Store: store, Owner: "test", Logger: zap.NewNop(),
		KeyFile: filepath.Join(s.dir, "secrets_key"),
		Announce: func(a gateway.Announcement) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.announced = append(s.announced, a)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return mustApply(s.t, s.g, set)
}

func (s *site) close() {
	s.t.Helper()
	if err := s.g.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *site) publish(n int) {
	s.t.Helper()
	for range n {
		deliveries(s.t, s.g, `{"type":"api_key.created","project_id":"proj_1","data":{}}`)
	}
	synctest.Wait()
}

// newest returns the newest delivery of a webhook.
func (s *site) newest(webhookID string) webhook.Delivery {
	s.t.Helper()
	page, err := s.store.Deliveries(context.Background(), queue.DeliveryQuery{WebhookID: webhookID, Limit: 1})
	if err != nil || len(page.Deliveries) == 0 {
		s.t.Fatalf("no delivery of %s: %v", webhookID, err)
	}
	return page.Deliveries[0]
}

func (s *site) announcements(kind string) (all []gateway.Announcement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.announced {
		if a.Type == kind {
			all = append(all, a)
		}
	}
	return all
}

// failingSettings has a webhook that fails, and one that is told of it.
func failingSettings(t *testing.T, url, inbox string) *gateway.Settings {
	set := settings(t,
		webhook.Subscription{ID: "wh_dead", ProjectID: "proj_1", URL: url, Events: []string{"*", "webhook.*"}},
		webhook.Subscription{ID: "wh_ops", ProjectID: "proj_1", URL: inbox, Events: []string{"webhook.disabled"}},
		webhook.Subscription{ID: "wh_all", ProjectID: "proj_1", URL: inbox, Events: []string{"*"}},
		webhook.Subscription{ID: "wh_else", ProjectID: "proj_2", URL: inbox, Events: []string{"webhook.*"}},
	)
	set.Retry, set.DisableAfter, set.Retention = queue.Schedule{}, disableAfter, 24*hour
	return set
}

func bubble(t *testing.T, test func(t *testing.T, s *site)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, dir: dir}
		test(t, s)
	})
}

func TestWebhookIsDisabledAfterNothingButFailures(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := failingSettings(t, deadURL, in.URL)
		s.open(set)
		for i := range 30 {
			s.publish(1)
			if d := s.newest("wh_dead"); d.Status != webhook.Failed {
				t.Fatalf("after %v a delivery is %s (%s), want failed", time.Duration(i)*time.Minute, d.Status, d.Reason)
			}
			if i == 3 { // what is known survives a restart
				s.close()
				time.Sleep(time.Second)
				s.open(failingSettings(t, deadURL, in.URL))
			}
			time.Sleep(time.Minute)
		}
		in.take()
		time.Sleep(5 * time.Minute) // a process believes its clock after a while
		s.publish(1)
		if d := s.newest("wh_dead"); d.Status != webhook.Skipped || d.Reason != "failing" {
			t.Errorf("a delivery after disable_after is %s (%s), want skipped (failing)", d.Status, d.Reason)
		}
		told := slices.DeleteFunc(in.take(), func(e event) bool { return e.Type == "api_key.created" })
		if len(told) != 1 || told[0].Type != "webhook.disabled" || told[0].Data["webhook_id"] != "wh_dead" ||
			told[0].Data["reason"] != "failing" || told[0].Data["url"] != deadURL {
			t.Errorf("the project was told %v, want one webhook.disabled of wh_dead", told)
		}
		if d := s.newest("wh_dead"); d.EventType != "api_key.created" {
			t.Errorf("the webhook was told of itself: %s", d.EventType)
		}
		said := s.announcements("webhook.disabled")
		if len(said) != 1 || said[0].WebhookID != "wh_dead" || said[0].Data["url"] != nil {
			t.Errorf("announced %v, want one without the URL", said)
		}
		s.close()
	})
}

func TestASuccessOrTooFewFailuresKeepAWebhook(t *testing.T) {
	in, ops := newInbox(t), newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		s.open(failingSettings(t, in.URL, ops.URL))
		in.answer(500)
		s.publish(19)
		time.Sleep(disableAfter + 5*time.Minute)
		if d := s.newest("wh_dead"); d.Status != webhook.Failed {
			t.Fatalf("a delivery is %s, want failed", d.Status)
		}
		in.answer(200)
		s.publish(1) // would be the twentieth
		in.answer(500)
		s.publish(30)
		time.Sleep(disableAfter - time.Minute)
		s.publish(1)
		if d := s.newest("wh_dead"); d.Status != webhook.Failed {
			t.Errorf("a minute too early a delivery is %s (%s), want failed", d.Status, d.Reason)
		}
		time.Sleep(2 * time.Minute)
		s.publish(1)
		if d := s.newest("wh_dead"); d.Status != webhook.Skipped {
			t.Errorf("after disable_after a delivery is %s, want skipped", d.Status)
		}
		s.close()
	})
}

func TestDisableAfterOffNeverDisables(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := failingSettings(t, deadURL, in.URL)
		set.DisableAfter = 0
		s.open(set)
		s.publish(30)
		time.Sleep(disableAfter + 5*time.Minute)
		s.publish(1)
		if d := s.newest("wh_dead"); d.Status != webhook.Failed {
			t.Errorf("a delivery is %s, want failed", d.Status)
		}
		s.close()
	})
}

func TestParkedWebhookEndsAfterTheRetention(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := failingSettings(t, deadURL, in.URL)
		set.Retry, set.Retention = queue.Schedule{24 * hour}, retention
		s.open(set)
		s.publish(1)
		pending := s.newest("wh_dead")

		without := failingSettings(t, deadURL, in.URL)
		without.Retention, without.Static = retention, without.Static[1:]
		mustApply(t, s.g, without)
		time.Sleep(retention - 5*time.Minute)
		if d := s.newest("wh_dead"); d.Status != webhook.Pending {
			t.Errorf("before the retention a delivery is %s, want pending", d.Status)
		}
		s.close() // the time is counted over a restart
		again := failingSettings(t, deadURL, in.URL)
		again.Retention, again.Static = retention, again.Static[1:]
		s.open(again)
		time.Sleep(retention + 5*time.Minute) // a process believes its clock after a while
		synctest.Wait()
		d, _, err := s.store.Delivery(t.Context(), pending.ID)
		if gone := errors.Is(err, queue.ErrNotFound); !gone && d.Status != webhook.Cancelled {
			t.Errorf("after the retention the delivery is %s (%v), want it cancelled, or retired after that", d.Status, err)
		}
		if _, err := s.store.Record(t.Context(), queue.WebhookRecord, "wh_dead"); err == nil {
			t.Error("the record of the webhook is still there")
		}
		s.close()
	})
}

func TestOfAParkedWebhookThatIsForgottenNothingStays(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := failingSettings(t, deadURL, in.URL)
		set.Retry, set.Retention, set.MaxPendingPerWebhook = queue.Schedule{24 * hour}, retention, 5
		with := s.open(set)
		s.publish(10)
		synctest.Wait()
		known := func() (full, failing int) {
			o, err := s.g.Overview(t.Context(), everything)
			if err != nil {
				t.Fatal(err)
			}
			return s.g.FullBacklogs(), o.AllFailing
		}
		if full, failing := known(); full != 1 || failing != 1 {
			t.Fatalf("%d backlogs are full and %d webhooks fail, want wh_dead", full, failing)
		}
		without := failingSettings(t, deadURL, in.URL)
		without.Retention, without.Static = retention, without.Static[1:]
		mustApply(t, s.g, without)
		s.g.Withdraw(with)
		time.Sleep(retention / 2)
		if full, failing := known(); full != 1 || failing != 1 {
			t.Errorf("before the retention %d backlogs are full and %d webhooks fail, want wh_dead", full, failing)
		}
		time.Sleep(retention)
		synctest.Wait()
		if full, failing := known(); full != 0 || failing != 0 {
			t.Errorf("after the retention %d backlogs are full and %d webhooks fail, want none", full, failing)
		}
		if ids := s.healthRecords(); len(ids) != 0 {
			t.Errorf("the failures of %v are in the store", ids)
		}
		s.close()
	})
}

func TestOfADeletedWebhookNoFailuresStay(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := failingSettings(t, deadURL, in.URL)
		set.Static = nil
		s.open(set)
		by := &gateway.Key{Name: "k", Scopes: gateway.Scopes}
		create := func() string {
			w, _, err := s.g.CreateWebhook(t.Context(), by, "proj_1", gateway.WebhookSpec{URL: deadURL, Events: []string{"*"}})
			if err != nil {
				t.Fatal(err)
			}
			return w.ID
		}
		remove := func(id string) {
			if err := s.g.DeleteWebhook(t.Context(), by, id, ""); err != nil {
				t.Fatal(err)
			}
		}
		stored := create()
		s.publish(1)
		time.Sleep(2 * time.Minute) // its failure is written
		if n := len(s.healthRecords()); n != 1 {
			t.Fatalf("%d webhooks have failures in the store, want 1", n)
		}
		remove(stored)
		fresh := create()
		s.publish(1)
		remove(fresh) // before its failure is written
		time.Sleep(3 * time.Minute)
		if ids := s.healthRecords(); len(ids) != 0 {
			t.Errorf("the failures of the deleted webhooks %v are in the store", ids)
		}
		s.close()
	})
}

func (s *site) healthRecords() (ids []string) {
	s.t.Helper()
	page, err := s.store.Records(context.Background(), queue.HealthRecord, "", "", 10)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range page.Records {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestFailuresOfAURLThatIsBeingChangedDisableNothing(t *testing.T) {
	former, present := newReceiver(t, http.StatusInternalServerError), newReceiver(t, http.StatusOK)
	s := &site{t: t, dir: t.TempDir()}
	set := settings(t)
	set.DisableAfter = time.Second
	s.open(set)
	spec := someSpec()
	spec.URL, spec.Retry = former.URL, []time.Duration{}
	w := mustCreate(t, s.g, spec)
	for range 19 {
		mustDeliver(t, s.g, w.ID, someEvent)
	}
	time.Sleep(1500 * time.Millisecond) // disable_after has passed

	saved := s.changeURL(w.ID, present.URL)
	mustDeliver(t, s.g, w.ID, someEvent) // the twentieth
	time.Sleep(100 * time.Millisecond)   // is judged
	saved()
	deliveries(t, s.g, someEvent)
	eventually(t, "an attempt at the new URL", func() bool { return len(present.requests()) == 1 })
	time.Sleep(100 * time.Millisecond)
	if got, err := s.g.Webhook(t.Context(), everything, w.ID); err != nil || got.Status != webhook.Active {
		t.Errorf("the webhook is %s (%s, %v), want active", got.Status, got.DisabledReason, err)
	}
	s.close()
}

func TestADeletedWebhookIsNotAmongThoseThatFail(t *testing.T) {
	to := newReceiver(t, http.StatusInternalServerError)
	s := &site{t: t, dir: t.TempDir()}
	s.open(noRetries(settings(t)))
	spec := someSpec()
	spec.URL = to.URL
	w := mustCreate(t, s.g, spec)
	finish := make(chan struct{})
	var finished atomic.Bool
	s.store.Inject(func(method string) (f queuetest.Fault) {
		if method == "Finish" {
			f.Before = func() { <-finish; finished.Store(true) }
		}
		return f
	})
	deliveries(t, s.g, someEvent)
	eventually(t, "the answer", func() bool { return len(to.requests()) == 1 && to.now.Load() == 0 })
	if err := s.g.DeleteWebhook(t.Context(), everything, w.ID, ""); err != nil {
		t.Fatal(err)
	}
	close(finish)
	eventually(t, "the outcome", func() bool { return finished.Load() && s.g.Pending() == 0 })
	s.close() // until then it may not be counted yet
	o, err := s.g.Overview(t.Context(), everything)
	if err != nil {
		t.Fatal(err)
	}
	if o.AllFailing != 0 {
		t.Errorf("%d webhooks fail, want none: %+v", o.AllFailing, o.Failing)
	}
}

func TestACrashAfterAWebhookWasMadeActiveBringsNoFailuresBack(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		s.open(failingSettings(t, deadURL, in.URL))
		s.publish(20)
		time.Sleep(disableAfter + 5*time.Minute)
		s.publish(1)
		if d := s.newest("wh_dead"); d.Reason != "failing" {
			t.Fatalf("a delivery is %s (%s), want skipped (failing)", d.Status, d.Reason)
		}
		_, err := s.g.ChangeWebhook(t.Context(), everything, "wh_dead", "", func(spec *gateway.WebhookSpec) { spec.Status = webhook.Active })
		if err != nil {
			t.Fatal(err)
		}
		s.store.Inject(func(string) queuetest.Fault { return queuetest.Fault{Err: queue.ErrUnavailable} }) // killed
		s.close()
		s.open(failingSettings(t, deadURL, in.URL))
		time.Sleep(2 * hour)
		if w, err := s.g.Webhook(t.Context(), everything, "wh_dead"); err != nil || w.Status != webhook.Active {
			t.Errorf("without another failure the webhook is %s (%s, %v), want active", w.Status, w.DisabledReason, err)
		}
		s.close()
	})
}
