package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/webhook"
)

var elevenTypes = []string{
	"project.created", "project.updated", "project.deleted",
	"api_key.created", "api_key.revoked", "api_key.updated",
	"integration.connected", "integration.disconnected", "integration.updated",
	"usage.threshold_reached", "usage.limit_exceeded",
}

func TestBuiltinCatalogueIsTheContracts(t *testing.T) {
	c := webhook.Builtin()
	if diff := cmp.Diff(elevenTypes, typeNames(c)); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	samples := map[string]string{
		"project.created": `{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"}`,
		"api_key.created": `{"id":"key_123","name":"My API Key","permissions":["read","write"]}`,
	}
	for name, want := range samples {
		got, ok := c.Lookup(name)
		if !ok || string(got.Sample) != want {
			t.Errorf("sample of %s: got %s, want %s", name, got.Sample, want)
		}
	}
}

func TestEveryTypeIsDescribedAndHasACanonicalSample(t *testing.T) {
	c, err := webhook.Builtin().Extend("order.paid")
	if err != nil {
		t.Fatal(err)
	}
	for _, et := range append(c.Types(), webhook.OperationalTypes()...) {
		if !webhook.ValidEventType(et.Type) || et.Description == "" {
			t.Errorf("%+v", et)
		}
		got, err := webhook.Canonical(et.Sample, false)
		if err != nil || string(got) != string(et.Sample) || got[0] != '{' {
			t.Errorf("sample of %s: %s, %v", et.Type, et.Sample, err)
		}
	}
}

func TestCatalogueOperations(t *testing.T) {
	base := webhook.Builtin()
	extended, err := base.Extend("order.paid", "project.created", "order.refunded", "order.paid")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(append([]string{}, elevenTypes...), "order.paid", "order.refunded"), typeNames(extended)); diff != "" {
		t.Errorf("extended (-want +got):\n%s", diff)
	}
	replaced, err := base.Replace("order.paid", "project.created")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"order.paid", "project.created"}, typeNames(replaced)); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	was, _ := base.Lookup("project.created")
	if is, _ := replaced.Lookup("project.created"); string(is.Sample) != string(was.Sample) {
		t.Error("a replaced catalogue lost a sample")
	}
	if len(base.Types()) != len(elevenTypes) {
		t.Error("the built-in catalogue changed")
	}

	tests := []struct {
		name                                   string
		builtin, extended, replaced, anyOfThem bool
	}{
		{"project.created", true, true, true, true},
		{"project.updated", true, true, false, true},
		{"order.paid", false, true, true, true},
		{"other.thing", false, false, false, true},
		{"Other.thing", false, false, false, false},
		{"other", false, false, false, false},
		{"webhook.disabled", false, false, false, false},
		{"webhook.delivery_failed", false, false, false, false},
		{"webhook.backlog_full", false, false, false, false},
		{"webhook.received", false, false, false, true},
		{"", false, false, false, false},
	}
	for _, tt := range tests {
		got := []bool{base.Knows(tt.name), extended.Knows(tt.name), replaced.Knows(tt.name), replaced.Any().Knows(tt.name)}
		if diff := cmp.Diff([]bool{tt.builtin, tt.extended, tt.replaced, tt.anyOfThem}, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCatalogueRefusesWhatIsNoTypeOfAProducer(t *testing.T) {
	for _, name := range []string{"", "order", "Order.paid", "order..paid", "webhook.disabled", "webhook.backlog_full"} {
		if _, err := webhook.Builtin().Extend(name); err == nil {
			t.Errorf("Extend(%q) succeeded", name)
		}
		if _, err := webhook.Builtin().Replace(name); err == nil {
			t.Errorf("Replace(%q) succeeded", name)
		}
	}
}

func TestLookupFindsWhatMayBeTested(t *testing.T) {
	c := webhook.Builtin().Any()
	for name, want := range map[string]bool{"project.created": true, "order.paid": true, "webhook.disabled": true, "order": false} {
		et, ok := c.Lookup(name)
		if ok != want || ok && (et.Type != name || !json.Valid(et.Sample)) {
			t.Errorf("Lookup(%q) = %+v, %v", name, et, ok)
		}
	}
	if _, ok := webhook.Builtin().Lookup("order.paid"); ok {
		t.Error("the built-in catalogue knows order.paid")
	}
}

func TestTypesMayBeChangedByTheCaller(t *testing.T) {
	webhook.Builtin().Types()[0].Type = "changed"
	webhook.OperationalTypes()[0].Type = "changed"
	if webhook.Builtin().Types()[0].Type != "project.created" || !webhook.IsOperational("webhook.disabled") {
		t.Error("a list that was handed out is the catalogue's own")
	}
}

func typeNames(c *webhook.Catalogue) []string {
	var names []string
	for _, et := range c.Types() {
		names = append(names, et.Type)
	}
	return names
}
