package gateway_test

import (
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// shown are the secrets of a webhook by their last four characters and roles.
func shown(w gateway.Webhook) (list []string) {
	for _, s := range w.Secrets {
		text := s.Hint + " " + string(s.Role)
		if !s.ExpiresAt.IsZero() {
			text += " until " + s.ExpiresAt.UTC().Format(time.TimeOnly)
		}
		list = append(list, text)
	}
	return list
}

func TestRotation(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type step struct {
		after    time.Duration
		rotation gateway.Rotation
		refused  bool
		want     []string
	}
	rotate := func(letter string, primary webhook.SecretRole, force bool) gateway.Rotation {
		return gateway.Rotation{Secret: "a long secret: " + letter + letter + letter + letter, Overlap: time.Hour, Primary: primary, Force: force}
	}
	only := func(letter string) gateway.Rotation {
		r := rotate(letter, "", true)
		r.Overlap = 0
		return r
	}
	for name, tc := range map[string]struct {
		steps []step
		end   []string // once all overlaps have ended
	}{
		"new signs at once": {
			steps: []step{{rotation: rotate("b", "", false), want: []string{"…bbbb primary", "…aaaa previous until 01:00:00"}}},
			end:   []string{"…bbbb primary"},
		},
		"the previous one goes on": {
			steps: []step{{rotation: rotate("b", webhook.SecretPrevious, false), want: []string{"…aaaa primary until 01:00:00", "…bbbb next"}}},
			end:   []string{"…bbbb primary"},
		},
		"no overlap": {
			steps: []step{{rotation: only("b"), want: []string{"…bbbb primary"}}},
			end:   []string{"…bbbb primary"},
		},
		"again within the overlap": {
			steps: []step{
				{rotation: rotate("b", "", false), want: []string{"…bbbb primary", "…aaaa previous until 01:00:00"}},
				{after: 59 * time.Minute, rotation: rotate("c", "", false), refused: true, want: []string{"…bbbb primary", "…aaaa previous until 01:00:00"}},
				{after: time.Minute, rotation: rotate("c", "", false), want: []string{"…cccc primary", "…bbbb previous until 02:00:00"}},
			},
			end: []string{"…cccc primary"},
		},
		"by force the two newest remain": {
			steps: []step{
				{rotation: rotate("b", "", false), want: []string{"…bbbb primary", "…aaaa previous until 01:00:00"}},
				{rotation: rotate("c", "", true), want: []string{"…cccc primary", "…bbbb previous until 01:00:00"}},
				{rotation: rotate("d", webhook.SecretPrevious, true), want: []string{"…cccc primary until 01:00:00", "…dddd next"}},
				{rotation: rotate("e", webhook.SecretPrevious, true), want: []string{"…dddd primary until 01:00:00", "…eeee next"}},
				{rotation: rotate("f", "", true), want: []string{"…ffff primary", "…eeee previous until 01:00:00"}},
			},
			end: []string{"…ffff primary"},
		},
		"the same secret again": {
			steps: []step{{rotation: rotate("a", "", false), refused: true, want: []string{"…aaaa primary"}}},
			end:   []string{"…aaaa primary"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var passed atomic.Int64
			g, _ := mustOpen(t, t.TempDir(), func() time.Time { return start.Add(time.Duration(passed.Load())) })
			mustApply(t, g, settings(t))
			spec := someSpec()
			spec.Secret = "a long secret: aaaa"
			w := mustCreate(t, g, spec)
			for i, s := range tc.steps {
				passed.Add(int64(s.after))
				_, generated, err := g.RotateSecret(t.Context(), ofOne, w.ID, s.rotation)
				if (err != nil) != s.refused || generated != "" {
					t.Errorf("step %d: %q, %v", i, generated, err)
				}
				now, err := g.Webhook(t.Context(), ofOne, w.ID)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(s.want, shown(now)); diff != "" {
					t.Errorf("step %d (-want +got)\n%s", i, diff)
				}
			}
			passed.Add(int64(2 * time.Hour))
			end, err := g.Webhook(t.Context(), ofOne, w.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tc.end, shown(end)); diff != "" {
				t.Errorf("at the end (-want +got)\n%s", diff)
			}
		})
	}
}

func TestRotationIsJudged(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	w := mustCreate(t, g, someSpec())
	_, _, err := g.RotateSecret(t.Context(), ofOne, w.ID, gateway.Rotation{Secret: "short", Overlap: 31 * 24 * time.Hour, Primary: "next"})
	wantProblem(t, err, problem.Invalid)
	if diff := gocmp.Diff([]string{"#/secret", "#/overlap", "#/primary"}, pointers(err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	_, secret, err := g.RotateSecret(t.Context(), ofOne, w.ID, gateway.Rotation{Overlap: gateway.DefaultOverlap})
	if err != nil || len(secret) < 40 {
		t.Errorf("generated %q, %v", secret, err)
	}
	w, err = g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Secret = "a long secret: zzzz" })
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"…zzzz primary"}, shown(w)); diff != "" {
		t.Errorf("a secret in a change ends the rotation (-want +got)\n%s", diff)
	}
}
