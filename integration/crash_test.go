package integration_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

const (
	crashKills       = 20
	crashConnections = 32
	crashFanOut      = 20
	crashWorkers     = 32
)

// TestKilledGatewayLosesNothing kills the gateway at random moments while events
// come in and deliveries go out, and looks at what the receivers got in the end.
func TestKilledGatewayLosesNothing(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile(crashSettings(receiver.URL()))})

	p := &crashPublisher{gateway: gateway}
	for range crashKills {
		p.publishWhile(func() {
			time.Sleep(time.Duration(50+rand.IntN(350)) * time.Millisecond) // the kill is to hit any moment
			gateway.Kill(t)
		})
		gateway.Restart(t)
	}

	awaitNothingPending(t, gateway)
	p.check(t, arrivals(receiver))
}

// TestARetryByHandThatWasAnsweredOutlivesAKill kills the gateway while the receiver
// has not answered the attempt yet.
func TestARetryByHandThatWasAnsweredOutlivesAKill(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(http.StatusInternalServerError)
	settings := egress() + "webhook one {\nproject *\nurl " + receiver.URL() + "\nevents *\nsecret " + testSecret + "\nretry off\ntimeout 30s\n}\n"
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: withAPI(t, settings)})
	token := strings.TrimSpace(webhookCommand(t, g, "", "key", "create", "manager").out)
	publish(t, g, "evt_1")
	delivery := receiver.Await(t, 1)[0].Header.Get("X-Tengine-Delivery")
	awaitNothingPending(t, g)

	receiver.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if got := askAs(t, g, http.MethodPost, "/api/v1/deliveries/"+delivery+"/retry", token); got.Status != http.StatusAccepted {
		t.Fatalf("retry: %d %s", got.Status, got.Body)
	}
	receiver.Await(t, 2)
	g.Kill(t)
	receiver.Handle(nil)
	g.Restart(t)

	again := receiver.Await(t, 3)[2]
	if again.Header.Get("X-Tengine-Delivery") != delivery || again.Header.Get("X-Tengine-Attempt") != "2" {
		t.Errorf("after the restart came %v, want attempt 2 of %s", again.Header, delivery)
	}
	for deadline := time.Now().Add(30 * time.Second); status(t, g).Deliveries["delivered"] != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("deliveries: %v, want the one delivered", status(t, g).Deliveries)
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.Stop(t)
	g.Restart(t)
	if n := len(receiver.Requests()); n != 3 {
		t.Errorf("%d attempts after another restart, want no more than 3", n)
	}
}

// crashSettings has one webhook for project.created and crashFanOut webhooks
// for project.updated.
func crashSettings(url string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "retry 1s 1s 1s 1s\nworkers %d\negress {\nallow 127.0.0.0/8\nallow_http\n}\n", crashWorkers)
	webhook := func(name, event string) {
		fmt.Fprintf(&b, "webhook %s {\nproject *\nurl %s%s\nevents %s\nsecret a-secret-for-this-test\n}\n", name, url, name, event)
	}
	webhook("single", "project.created")
	for i := range crashFanOut {
		webhook(fmt.Sprintf("fan%d", i), "project.updated")
	}
	return b.String()
}

// crashPublisher publishes events and remembers which were acknowledged.
type crashPublisher struct {
	gateway *gatewaytest.Gateway
	next    atomic.Int64

	sent         sync.Map // id: whether it is one of project.updated
	acknowledged sync.Map // likewise
}

// publishWhile publishes over all connections until f has returned.
func (p *crashPublisher) publishWhile(f func()) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range crashConnections {
		wg.Go(func() {
			for !stop.Load() {
				p.publish()
			}
		})
	}
	f()
	stop.Store(true)
	wg.Wait()
}

func (p *crashPublisher) publish() {
	n := p.next.Add(1)
	id := fmt.Sprintf("evt_crash_%d", n)
	fan := n%10 == 0
	event := "project.created"
	if fan {
		event = "project.updated"
	}
	p.sent.Store(id, fan)
	req, err := http.NewRequest(http.MethodPost, p.gateway.URL("/events"),
		strings.NewReader(fmt.Sprintf(`{"id":%q,"type":%q,"data":{"id":"proj_1"}}`, id, event)))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+gatewaytest.IngestKey)
	req.Header.Set("Content-Type", "application/json")
	answer, err := p.gateway.Do(req)
	if err != nil {
		time.Sleep(time.Millisecond) // the gateway is down: do not spin
		return
	}
	if answer.Status == http.StatusAccepted {
		p.acknowledged.Store(id, fan)
	}
}

// arrival is a delivery as the receiver saw it.
type arrival struct {
	webhook string
	times   int
	numbers map[string]bool // values of x-tengine-attempt
}

// arrivals returns what arrived, by event id and delivery id.
func arrivals(r *gatewaytest.Receiver) map[string]map[string]*arrival {
	all := make(map[string]map[string]*arrival)
	for _, req := range r.Requests() {
		event, delivery := req.Header.Get("Webhook-Id"), req.Header.Get("X-Tengine-Delivery")
		if all[event] == nil {
			all[event] = make(map[string]*arrival)
		}
		a := all[event][delivery]
		if a == nil {
			a = &arrival{webhook: strings.TrimPrefix(req.Path, "/"), numbers: make(map[string]bool)}
			all[event][delivery] = a
		}
		a.times++
		a.numbers[req.Header.Get("X-Tengine-Attempt")] = true
	}
	return all
}

func wanted(fan bool) int {
	if fan {
		return crashFanOut
	}
	return 1
}

// awaitNothingPending waits until every delivery has ended.
func awaitNothingPending(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		pending := status(t, g).Deliveries["pending"]
		if pending == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries are still pending", pending)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// gatewayStatus is what the tests read of GET /webhook_gateway/status.
type gatewayStatus struct {
	Status     string         `json:"status"`
	Deliveries map[string]int `json:"deliveries"`
	Lost       int            `json:"lost_commits"`
}

func status(t *testing.T, g *gatewaytest.Gateway) gatewayStatus {
	t.Helper()
	answer := askStatus(t, g)
	var s gatewayStatus
	if err := json.Unmarshal([]byte(answer.Body), &s); err != nil {
		t.Fatalf("status %q: %v", answer.Body, err)
	}
	return s
}

func askStatus(t *testing.T, g *gatewaytest.Gateway) gatewaytest.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.AdminURL("/webhook_gateway/status"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, g, req)
}

func (p *crashPublisher) check(t *testing.T, got map[string]map[string]*arrival) {
	t.Helper()
	p.acknowledged.Range(func(id, fan any) bool {
		if n := len(got[id.(string)]); n != wanted(fan.(bool)) {
			t.Errorf("acknowledged event %s arrived at %d of %d webhooks", id, n, wanted(fan.(bool)))
		}
		return true
	})
	events, duplicates := 0, 0
	for event, deliveries := range got {
		fan, sent := p.sent.Load(event)
		if !sent {
			t.Errorf("event %s arrived and was never sent", event)
			continue
		}
		events++
		webhooks := make(map[string]bool)
		for id, a := range deliveries {
			webhooks[a.webhook] = true
			duplicates += a.times - 1
			if len(a.numbers) != 1 || !a.numbers["1"] {
				t.Errorf("delivery %s arrived with attempt numbers %v: a kill must use up none", id, a.numbers)
			}
		}
		if len(webhooks) != len(deliveries) {
			t.Errorf("event %s has %d deliveries for %d webhooks", event, len(deliveries), len(webhooks))
		}
		if len(webhooks) != wanted(fan.(bool)) {
			t.Errorf("event %s arrived at %d of %d webhooks", event, len(webhooks), wanted(fan.(bool)))
		}
	}
	if limit := crashKills * crashWorkers; duplicates > limit {
		t.Errorf("%d duplicates after %d kills; at most %d attempts were in flight at each", duplicates, crashKills, crashWorkers)
	}
	t.Logf("%d events arrived after %d kills, %d deliveries twice", events, crashKills, duplicates)
}
