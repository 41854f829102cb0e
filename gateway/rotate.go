package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Rotation asks for another secret (contract section 3).
type Rotation struct {
	Secret  string             // empty: generated
	Overlap time.Duration      // zero: none, the old secret ends at once
	Primary webhook.SecretRole // webhook.SecretPrimary: the new one signs at once; SecretPrevious: the old one goes on. Empty is SecretPrimary
	Force   bool               // also within the overlap of an earlier rotation
	IfMatch string             // the Version that the webhook must have; empty: any
}

// The limits of Rotation.Overlap.
const (
	DefaultOverlap = 24 * time.Hour // what the API asks for if its client does not say
	MaxOverlap     = 30 * 24 * time.Hour
)

// RotateSecret gives a webhook another secret. For the overlap both sign; then
// the old one is dropped and the new one is the primary, by the clock and with
// nothing more to do. At most two are live: within an overlap another rotation
// is problem.Conflict unless it is forced, and then the newest of the secrets
// that were live takes the place of the old one and the other is dropped at
// once. The secret is returned only if it was generated, and never shown again.
func (g *Gateway) RotateSecret(ctx context.Context, by *Key, id string, r Rotation) (w Webhook, secret string, err error) {
	h, unlock, err := g.toChange(by, id, r.IfMatch)
	if err != nil {
		return Webhook{}, "", err
	}
	defer unlock()
	gen, err := g.generation()
	if err != nil {
		return Webhook{}, "", err
	}
	if h.sub.Static {
		return Webhook{}, "", ofConfiguration()
	}
	now := g.now().UTC()
	live := signer.Live(now, h.sub.Secrets)
	if items := r.check(live); len(items) > 0 {
		return Webhook{}, "", problem.New(problem.Invalid, "The rotation breaks a rule; see errors.", items...)
	}
	if len(live) > 1 && !r.Force {
		return Webhook{}, "", problem.New(problem.Conflict,
			"Two secrets are live: an earlier rotation has not ended. Wait for its end, or set force to drop the older of the two now.")
	}
	if r.Secret == "" {
		secret = signer.Generate()
		r.Secret = secret
	}
	sub := *h.sub
	sub.Secrets = r.rotate(live, now)
	if err := g.update(ctx, h, &sub); err != nil {
		return Webhook{}, "", refusal(fmt.Errorf("rotate secret of webhook %s: %w", id, err), noWebhook())
	}
	g.log.Info("secret of a webhook rotated",
		zap.String("webhook_id", id), zap.Duration("overlap", r.Overlap), zap.String("key", by.Name))
	w, err = g.view(gen, id)
	return w, secret, err
}

// CheckRotation returns what RotateSecret would find wrong with a rotation.
func (g *Gateway) CheckRotation(by *Key, id string, r Rotation) []problem.Item {
	if g.CheckHistory(by, id) != nil {
		return nil
	}
	h := g.webhooks.get(id)
	if h == nil {
		return nil
	}
	return r.check(signer.Live(g.now(), h.sub.Secrets))
}

// check returns what is wrong with the rotation of a webhook with these secrets.
func (r *Rotation) check(live []webhook.Secret) []problem.Item {
	var items []problem.Item
	refuse := func(pointer, detail string) {
		items = append(items, problem.Item{Code: problem.InvalidValue, Pointer: pointer, Detail: detail})
	}
	if err := signer.ValidSecret(r.Secret); r.Secret != "" && err != nil {
		refuse("#/secret", sentence(err.Error()))
	} else if slices.ContainsFunc(live, func(s webhook.Secret) bool { return s.Value == r.Secret }) {
		refuse("#/secret", "The secret is one of those in use. Send another, or none to have one generated.")
	}
	if r.Overlap < 0 || r.Overlap > MaxOverlap {
		refuse("#/overlap", "The overlap must be 0s to 30d.")
	}
	switch r.Primary {
	case "", webhook.SecretPrimary, webhook.SecretPrevious:
	default:
		refuse("#/primary", "The primary is new or previous.")
	}
	return items
}

// rotate returns the secrets after the rotation, the primary first.
func (r *Rotation) rotate(live []webhook.Secret, now time.Time) []webhook.Secret {
	fresh := webhook.Secret{Value: r.Secret, Role: webhook.SecretPrimary}
	if len(live) == 0 || r.Overlap == 0 {
		return []webhook.Secret{fresh}
	}
	old := webhook.Secret{Value: newest(live).Value, ExpiresAt: now.Add(r.Overlap)}
	if r.Primary == webhook.SecretPrevious {
		old.Role, fresh.Role = webhook.SecretPrimary, webhook.SecretNext
		return []webhook.Secret{old, fresh}
	}
	old.Role = webhook.SecretPrevious
	return []webhook.Secret{fresh, old}
}

// newest returns the secret that came last: the next one, else the primary.
func newest(live []webhook.Secret) webhook.Secret {
	if last := live[len(live)-1]; last.Role == webhook.SecretNext {
		return last
	}
	return live[0]
}
