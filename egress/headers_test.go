package egress_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestCheckHeaders(t *testing.T) {
	const value = "header-secret"
	for _, c := range []struct {
		name, value string
		want        problem.Code // "" is accepted
		pointer     string
	}{
		{"X-Custom-Header", "custom-value", "", ""},
		{"Authorization", "Bearer abc", "", ""},
		{"Cookie", "a=b", "", ""},
		{"!#$%&'*+-.^_`|~", value, "", ""},
		{"x", " ~"[1:], "", ""},
		{"x-a", "a b", "", ""},
		{strings.Repeat("a", 128), value, "", ""},
		{"x-b", strings.Repeat("a", 4096), "", ""},
		{"contents", value, "", ""},
		{"x-forwarded", value, "", ""},

		{"", value, problem.InvalidValue, "#/headers/"},
		{strings.Repeat("a", 129), value, problem.TooLong, "#/headers"},
		{"x y", value, problem.InvalidValue, "#/headers/x%20y"},
		{"x:y", value, problem.InvalidValue, "#/headers/x:y"},
		{"x/~y", value, problem.InvalidValue, "#/headers/x~1~0y"},
		{"x\r\ny", value, problem.InvalidValue, "#/headers/x%0D%0Ay"},
		{"é", value, problem.InvalidValue, "#/headers/%C3%A9"},
		{"X-A", "", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", " " + value, problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + " ", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + "\r\nX-B: 1", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + "\x00", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + "\t" + value, problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + "\x7f", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", value + "é", problem.InvalidValue, "#/headers/X-A"},
		{"X-A", strings.Repeat("a", 4097), problem.TooLong, "#/headers/X-A"},
	} {
		items := egress.CheckHeaders([]webhook.Header{{Name: c.name, Value: c.value}})
		if c.want == "" {
			if items != nil {
				t.Errorf("%q: refused: %v", c.name, items)
			}
			continue
		}
		if len(items) != 1 || items[0].Code != c.want || items[0].Pointer != c.pointer {
			t.Errorf("%q: got %v, want %s at %s", c.name, items, c.want, c.pointer)
			continue
		}
		mustHideSecrets(t, items[0].Detail, items[0].Pointer)
	}
}

func TestReservedHeaders(t *testing.T) {
	for _, name := range []string{
		"Host", "content-type", "Content-Length", "Content-Anything", "Transfer-Encoding", "Connection", "Keep-Alive", "TE",
		"Trailer", "Trailers", "Upgrade", "Expect", "HTTP2-Settings", "Accept-Encoding", "Proxy-Authorization", "Proxy-Connection",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "User-Agent", "Date", "Via", "Idempotency-Key",
		"X-Idempotency-Key", "Webhook-Id", "webhook-signature", "X-Tengine-Signature", "x-tengine-anything", ":authority", ":path",
	} {
		items := egress.CheckHeaders([]webhook.Header{{Name: name, Value: "v"}})
		if len(items) != 1 || items[0].Code != problem.Reserved || !egress.Reserved(name) {
			t.Errorf("%s: got %v, want reserved", name, items)
		}
	}
	for _, name := range []string{"Hosts", "X-Host", "Accept", "X-Via", "Webhook", "X-Tengine", "Authorization", "Origin"} {
		if egress.Reserved(name) {
			t.Errorf("%s is reserved", name)
		}
	}
}

func TestHeadersAreFewAndDistinct(t *testing.T) {
	var headers []webhook.Header
	for i := range egress.MaxHeaders {
		headers = append(headers, webhook.Header{Name: fmt.Sprintf("X-%d", i), Value: "v"})
	}
	if items := egress.CheckHeaders(headers); items != nil {
		t.Errorf("%d headers refused: %v", len(headers), items)
	}
	got := egress.CheckHeaders(append(headers, webhook.Header{Name: "x-1", Value: ""}))
	want := []problem.Item{
		{Code: problem.TooLong, Pointer: "#/headers"},
		{Code: problem.DuplicateMember, Pointer: "#/headers/x-1"},
		{Code: problem.InvalidValue, Pointer: "#/headers/x-1"},
	}
	for i := range got {
		got[i].Detail = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
