package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// hush is in every value that no problem may repeat.
const hush = "hush"

// bulkTypes names n event types that largeCatalogue has.
func bulkTypes(n int) []string {
	types := make([]string, n)
	for i := range types {
		types[i] = fmt.Sprintf("bulk.type_%d", i)
	}
	return types
}

func largeCatalogue(t *testing.T) *webhook.Catalogue {
	t.Helper()
	catalogue, err := webhook.Builtin().Extend(bulkTypes(gateway.MaxEvents)...)
	if err != nil {
		t.Fatal(err)
	}
	return catalogue
}

func checkContext(t *testing.T, catalogue *webhook.Catalogue) gateway.CheckContext {
	t.Helper()
	out, err := egress.New(egress.Config{
		Allow: []egress.Allow{{Prefix: netip.MustParsePrefix("10.20.0.0/16"), Projects: []string{"proj_123"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	s := gateway.Settings{
		Catalogue: catalogue,
		Engines:   map[string]filter.Engine{"expr": filter.Expr},
		Egress:    out,
	}
	return s.CheckContext()
}

// sound returns a webhook that is at every limit but over none.
func sound() *webhook.Subscription {
	headers := make([]webhook.Header, 0, egress.MaxHeaders)
	for i := range egress.MaxHeaders {
		headers = append(headers, webhook.Header{Name: fmt.Sprintf("X-%d", i), Value: hush})
	}
	return &webhook.Subscription{
		ID:          "wh_1",
		ProjectID:   "proj_123",
		URL:         "https://10.20.1.1/" + strings.Repeat("p", 2000),
		Description: strings.Repeat("ü", gateway.MaxDescription),
		Events:      append([]string{"project.created", "project.*", "*", "webhook.*", "webhook.disabled"}, bulkTypes(gateway.MaxEvents-5)...),
		Filters:     map[string]json.RawMessage{"project.name": json.RawMessage(`["a",null]`)},
		Filter:      `data.id != ""`,
		Headers:     headers,
		Retry:       slices.Repeat([]time.Duration{gateway.MinRetryStep, gateway.MaxRetryStep}, 10),
		Timeout:     gateway.MaxTimeout,
		Rate:        webhook.Rate{N: webhook.MaxRate, Per: time.Hour},
		Concurrency: gateway.MaxConcurrency,
		Secrets: []webhook.Secret{
			{Value: hush + "-0123456789ab", Role: webhook.SecretPrimary},
			{Value: strings.Repeat("ü", 256), Role: webhook.SecretPrevious},
		},
	}
}

func TestSoundSubscriptionHasNoProblems(t *testing.T) {
	c := checkContext(t, largeCatalogue(t))
	if items := gateway.CheckSubscription(sound(), c); len(items) > 0 {
		t.Errorf("%+v", items)
	}
	least := &webhook.Subscription{ProjectID: "p", URL: "https://example.com", Events: []string{"*"}}
	if items := gateway.CheckSubscription(least, c); len(items) > 0 {
		t.Errorf("%+v", items)
	}
	all := &webhook.Subscription{ProjectID: webhook.AllProjects, URL: "https://example.com", Events: []string{"*"}, Static: true}
	if items := gateway.CheckSubscription(all, c); len(items) > 0 {
		t.Errorf("%+v", items)
	}
}

func TestEachProblemOfASubscriptionHasItsPointer(t *testing.T) {
	c := checkContext(t, largeCatalogue(t))
	for _, tc := range []struct {
		name   string
		change func(*webhook.Subscription)
		want   []problem.Item // code and pointer only
	}{
		{"no project", func(s *webhook.Subscription) { s.ProjectID = ""; s.URL = "https://example.com" }, []problem.Item{{Code: problem.Missing, Pointer: "#/project_id"}}},
		{"all projects by API", func(s *webhook.Subscription) { s.ProjectID = "*"; s.URL = "https://example.com" }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/project_id"}}},
		{"malformed project", func(s *webhook.Subscription) { s.ProjectID = "a/b"; s.URL = "https://example.com" }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/project_id"}}},
		{"no URL", func(s *webhook.Subscription) { s.URL = "" }, []problem.Item{{Code: problem.Missing, Pointer: "#/url"}}},
		{"private address of another project", func(s *webhook.Subscription) { s.ProjectID = "other" }, []problem.Item{{Code: problem.AddressRefused, Pointer: "#/url"}}},
		{"long description", func(s *webhook.Subscription) { s.Description += "x" }, []problem.Item{{Code: problem.TooLong, Pointer: "#/description"}}},
		{"description that is no text", func(s *webhook.Subscription) { s.Description = "\xff" }, []problem.Item{{Code: problem.InvalidUTF8, Pointer: "#/description"}}},
		{"no events", func(s *webhook.Subscription) { s.Events = nil }, []problem.Item{{Code: problem.Missing, Pointer: "#/events"}}},
		{"an event type twice", func(s *webhook.Subscription) { s.Events = []string{"*", "project.*", "*"} }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/events/2"}}},
		{"101 events", func(s *webhook.Subscription) { s.Events = append(s.Events, "*") }, []problem.Item{{Code: problem.TooLong, Pointer: "#/events"}}},
		{"unknown events", func(s *webhook.Subscription) {
			s.Events = []string{"project.created", "order.paid", "order.*", "project", "", "project.created.*", "**", ".*", "webhook.x"}
		}, []problem.Item{
			{Code: problem.UnknownType, Pointer: "#/events/1"}, {Code: problem.UnknownType, Pointer: "#/events/2"},
			{Code: problem.UnknownType, Pointer: "#/events/3"}, {Code: problem.UnknownType, Pointer: "#/events/4"},
			{Code: problem.UnknownType, Pointer: "#/events/5"}, {Code: problem.UnknownType, Pointer: "#/events/6"},
			{Code: problem.UnknownType, Pointer: "#/events/7"}, {Code: problem.UnknownType, Pointer: "#/events/8"},
		}},
		{"filters", func(s *webhook.Subscription) {
			s.Filters = map[string]json.RawMessage{"a..b": json.RawMessage(`1`), "data.a/b~c d": json.RawMessage(`{}`)}
		}, []problem.Item{{Code: problem.InvalidFilter, Pointer: "#/filters/a..b"}, {Code: problem.InvalidFilter, Pointer: "#/filters/data.a~1b~0c%20d"}}},
		{"filter", func(s *webhook.Subscription) { s.Filter = "true and\n nothing" }, []problem.Item{{Code: problem.InvalidFilter, Pointer: "#/filter", Line: 2, Column: 2}}},
		{"engine", func(s *webhook.Subscription) { s.FilterEngine = "cel" }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/filter_engine"}}},
		{"headers", func(s *webhook.Subscription) {
			s.Headers = []webhook.Header{{Name: "Host", Value: hush}, {Name: "X-A", Value: hush + "ü"}, {Name: "X-B", Value: ""}, {Name: "x-b", Value: hush}}
		}, []problem.Item{
			{Code: problem.Reserved, Pointer: "#/headers/Host"}, {Code: problem.InvalidValue, Pointer: "#/headers/X-A"},
			{Code: problem.InvalidValue, Pointer: "#/headers/X-B"}, {Code: problem.DuplicateMember, Pointer: "#/headers/x-b"},
		}},
		{"33 headers", func(s *webhook.Subscription) { s.Headers = append(s.Headers, webhook.Header{Name: "X", Value: "x"}) }, []problem.Item{{Code: problem.TooLong, Pointer: "#/headers"}}},
		{"short secrets", func(s *webhook.Subscription) { s.Secrets[0].Value, s.Secrets[1].Value = hush, hush+"\n" }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/secret"}, {Code: problem.InvalidValue, Pointer: "#/previous_secret"}}},
		{"next secret", func(s *webhook.Subscription) { s.Secrets[1] = webhook.Secret{Value: hush, Role: webhook.SecretNext} }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/secret"}}},
		{"equal secrets", func(s *webhook.Subscription) { s.Secrets[1].Value = s.Secrets[0].Value }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/previous_secret"}}},
		{"21 retries", func(s *webhook.Subscription) { s.Retry = append(s.Retry, time.Minute) }, []problem.Item{{Code: problem.TooLong, Pointer: "#/retry"}}},
		{"retries out of range", func(s *webhook.Subscription) {
			s.Retry = []time.Duration{time.Second - 1, time.Second, gateway.MaxRetryStep + 1, 0, -1}
		}, []problem.Item{
			{Code: problem.InvalidValue, Pointer: "#/retry/0"}, {Code: problem.InvalidValue, Pointer: "#/retry/2"},
			{Code: problem.InvalidValue, Pointer: "#/retry/3"}, {Code: problem.InvalidValue, Pointer: "#/retry/4"},
		}},
		{"pace", func(s *webhook.Subscription) {
			s.Timeout, s.Rate, s.Concurrency = gateway.MaxTimeout+1, webhook.Rate{N: 1, Per: time.Millisecond}, gateway.MaxConcurrency+1
		}, []problem.Item{
			{Code: problem.InvalidValue, Pointer: "#/timeout"}, {Code: problem.InvalidValue, Pointer: "#/rate_limit"}, {Code: problem.InvalidValue, Pointer: "#/concurrency"},
		}},
		{"negative pace", func(s *webhook.Subscription) { s.Timeout, s.Concurrency = -1, -1 }, []problem.Item{{Code: problem.InvalidValue, Pointer: "#/timeout"}, {Code: problem.InvalidValue, Pointer: "#/concurrency"}}},
		{"several at once", func(s *webhook.Subscription) { s.URL, s.Events, s.Timeout = "ftp://example.com", nil, 1 }, []problem.Item{
			{Code: problem.InvalidValue, Pointer: "#/url"}, {Code: problem.Missing, Pointer: "#/events"}, {Code: problem.InvalidValue, Pointer: "#/timeout"},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sub := sound()
			tc.change(sub)
			got := gateway.CheckSubscription(sub, c)
			for i := range got {
				detail := got[i].Detail
				if !strings.HasSuffix(detail, ".") || strings.Contains(detail, hush) {
					t.Errorf("detail %q: want a sentence without the value", detail)
				}
				got[i].Detail = ""
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEventsOfACatalogueOfAnyType(t *testing.T) {
	c := checkContext(t, webhook.Builtin().Any())
	sub := sound()
	sub.Events = []string{"order.paid", "order.*", "a.b.c", "webhook.*"}
	if items := gateway.CheckSubscription(sub, c); len(items) > 0 {
		t.Errorf("%+v", items)
	}
	sub.Events = []string{"Order.paid", "Order.*", "a b.*"}
	if items := gateway.CheckSubscription(sub, c); len(items) != 3 {
		t.Errorf("%+v, want three problems", items)
	}
}
