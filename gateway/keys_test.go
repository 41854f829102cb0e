package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
)

// wantProblem fails unless err is a problem with the code; "" is no error.
func wantProblem(t *testing.T, err error, code problem.Code) {
	t.Helper()
	var got problem.Code
	if err != nil {
		got = problem.From(err).Code
	}
	if got != code {
		t.Fatalf("got %v, want %q", err, code)
	}
}

func mustCreateKey(t *testing.T, g *gateway.Gateway, spec gateway.KeySpec) (gateway.Key, string) {
	t.Helper()
	key, token, err := g.CreateKey(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return key, token
}

func TestCreatedKeyWorksAtOnceAndUntilItIsRevoked(t *testing.T) {
	dir := t.TempDir()
	g, store := mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	key, token := mustCreateKey(t, g, gateway.KeySpec{Name: "acme", Scopes: []gateway.Scope{gateway.ScopeIngest}, Projects: []string{"p1"}})
	if !strings.HasPrefix(token, "wgw_") || len(token) < len("wgw_")+39 { // 39 characters of base32 hold 195 bits
		t.Errorf("the token has %d characters", len(token))
	}
	got, err := g.Authenticate(token)
	if err != nil || got.Name != "acme" || !got.Has(gateway.ScopeIngest) || got.Has(gateway.ScopeRead) || !got.Allows("p1") || got.Allows("p2") {
		t.Fatalf("Authenticate: %+v, %v", got, err)
	}
	rec, err := store.Record(t.Context(), queue.KeyRecord, "acme")
	if err != nil || strings.Contains(string(rec.Data), token) {
		t.Errorf("the store keeps %s, %v", rec.Data, err)
	}
	if key.Static() || key.CreatedAt.IsZero() {
		t.Error("the key looks like one of the configuration")
	}

	// The next process knows it.
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ = mustOpen(t, dir, nil)
	first := mustApply(t, g, settings(t))
	if _, err := g.Authenticate(token); err != nil {
		t.Fatal(err)
	}
	if err := g.RevokeKey(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err = g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)

	// Neither another generation nor another process brings it back.
	mustApply(t, g, settings(t))
	g.Withdraw(first)
	_, err = g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ = mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	_, err = g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)
	wantProblem(t, g.RevokeKey(t.Context(), "acme"), problem.NotFound)
}

func TestKeyNamesAreUnique(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	s := settings(t)
	s.Keys = []gateway.Key{{Name: "static", Hash: gateway.HashToken("a-token-of-the-configuration"), Scopes: gateway.Scopes}}
	mustApply(t, g, s)
	_, first := mustCreateKey(t, g, gateway.KeySpec{Name: "twice"})
	for _, name := range []string{"twice", "static"} {
		_, _, err := g.CreateKey(t.Context(), gateway.KeySpec{Name: name})
		wantProblem(t, err, problem.Conflict)
	}
	wantProblem(t, g.RevokeKey(t.Context(), "static"), problem.Conflict)
	if _, err := g.Authenticate("a-token-of-the-configuration"); err != nil {
		t.Error(err)
	}

	keys, err := g.Keys(t.Context())
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	if err != nil || !slices.Equal(names, []string{"static", "twice"}) {
		t.Errorf("Keys: %q, %v", names, err)
	}

	// A name is free again when its key was revoked; the old token is not.
	if err := g.RevokeKey(t.Context(), "twice"); err != nil {
		t.Fatal(err)
	}
	_, second := mustCreateKey(t, g, gateway.KeySpec{Name: "twice"})
	_, err = g.Authenticate(first)
	wantProblem(t, err, problem.Unauthorized)
	if k, err := g.Authenticate(second); err != nil || !slices.Equal(k.Scopes, []gateway.Scope{gateway.ScopeRead, gateway.ScopeManage}) {
		t.Errorf("%+v, %v: want the default scopes", k, err)
	}
}

// TestKeyOfTheConfigurationAndCreatedKeyOfOneName is about a name that came into
// the configuration later: both work, and the created one can still be revoked.
func TestKeyOfTheConfigurationAndCreatedKeyOfOneName(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	_, token := mustCreateKey(t, g, gateway.KeySpec{Name: "acme"})
	s := settings(t)
	s.Keys = []gateway.Key{{Name: "acme", Hash: gateway.HashToken("a-token-of-the-configuration"), Scopes: gateway.Scopes}}
	mustApply(t, g, s)
	if err := g.RevokeKey(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	_, err := g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)
	if _, err := g.Authenticate("a-token-of-the-configuration"); err != nil {
		t.Error(err)
	}
}

func TestKeyExpires(t *testing.T) {
	clock := newHandClock()
	g, _ := mustOpen(t, t.TempDir(), clock.now)
	mustApply(t, g, settings(t))
	_, token := mustCreateKey(t, g, gateway.KeySpec{Name: "short", ExpiresAt: clock.now().Add(time.Hour)})
	clock.advance(time.Hour - time.Nanosecond)
	if _, err := g.Authenticate(token); err != nil {
		t.Error(err)
	}
	clock.advance(time.Nanosecond)
	_, err := g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)
	if keys, _ := g.Keys(t.Context()); len(keys) != 1 || !keys[0].Expired(clock.now()) {
		t.Errorf("%+v: want the expired key to be listed", keys)
	}
}

func TestCreateKeyTellsAllProblemsAtOnce(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	_, _, err := g.CreateKey(t.Context(), gateway.KeySpec{
		Name:      "No Name",
		Scopes:    []gateway.Scope{"read", "admin", "read"},
		Projects:  []string{"p1", "not a project", "*"},
		ExpiresAt: time.Unix(0, 0),
	})
	wantProblem(t, err, problem.Invalid)
	var got []string
	for _, it := range problem.From(err).Items {
		got = append(got, it.Pointer)
	}
	want := []string{"#/name", "#/scopes/1", "#/scopes/2", "#/projects/1", "#/projects/2", "#/expires_at"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUnfinishedRevocationCanBeRepeated: the store fails, the key ends all the
// same, and the name is not taken for unknown.
func TestUnfinishedRevocationCanBeRepeated(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	_, token := mustCreateKey(t, g, gateway.KeySpec{Name: "acme"})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantProblem(t, g.RevokeKey(t.Context(), "acme"), problem.Unavailable)
	}
	_, err := g.Authenticate(token)
	wantProblem(t, err, problem.Unauthorized)
}

func TestRequireScope(t *testing.T) {
	key := &gateway.Key{Scopes: []gateway.Scope{gateway.ScopeRead}}
	wantProblem(t, gateway.RequireScope(key, gateway.ScopeRead), "")
	wantProblem(t, gateway.RequireScope(key, gateway.ScopeManage), problem.ScopeMissing)
	wantProblem(t, gateway.RequireScope(nil, gateway.ScopeRead), problem.Unauthorized)
}

func TestKeyFrom(t *testing.T) {
	for _, tc := range []struct {
		projects, scopes string
		want             *gateway.Key // nil: unauthorized
	}{
		{"p1", "", &gateway.Key{Projects: []string{"p1"}, Scopes: []gateway.Scope{"read", "manage"}}},
		{" p1  p2 ", "read", &gateway.Key{Projects: []string{"p1", "p2"}, Scopes: []gateway.Scope{"read"}}},
		{"*", "manage read", &gateway.Key{Scopes: []gateway.Scope{"manage", "read"}}},
		{"", "read", nil},
		{" \t", "", nil},
		{"p1,p2", "", nil},             // what two headers would be joined to
		{"* p1", "", nil},              // every project is said alone
		{"p1 *", "", nil},              // in no order
		{"{http.x}", "", nil},          // an unresolved placeholder
		{"p1", "read,manage", nil},     // scopes are separated by spaces
		{"p1", "read everything", nil}, // and are not guessed
	} {
		got, err := gateway.KeyFrom("projects_from", tc.projects, tc.scopes)
		if tc.want == nil {
			wantProblem(t, err, problem.Unauthorized)
			continue
		}
		if err != nil || !slices.Equal(got.Projects, tc.want.Projects) || !slices.Equal(got.Scopes, tc.want.Scopes) {
			t.Errorf("KeyFrom(%q, %q) = %+v, %v; want %+v", tc.projects, tc.scopes, got, err, tc.want)
		}
	}
}
