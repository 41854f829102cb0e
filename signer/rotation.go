package signer

import (
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Live returns the secrets that sign at now, each with the role that it has
// then, the primary first. It says of secrets what Sign does with them.
func Live(now time.Time, secrets []webhook.Secret) []webhook.Secret {
	var primary, previous, next *webhook.Secret
	for i := range secrets {
		s := secrets[i]
		place := &primary
		switch {
		case s.Value == "":
			continue
		case s.Role == webhook.SecretNext:
			place = &next
		case s.Role == webhook.SecretPrevious, s.Role == "" && primary != nil:
			place = &previous
		}
		if *place == nil {
			*place = &s
		}
	}
	expired := func(s *webhook.Secret) bool { return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) }
	if previous != nil && expired(previous) {
		previous = nil
	}
	if next != nil && (primary == nil || expired(primary) || expired(next)) {
		next.ExpiresAt = time.Time{}
		primary, next = next, nil
	}
	var live []webhook.Secret
	for _, s := range []struct {
		secret *webhook.Secret
		role   webhook.SecretRole
	}{{primary, webhook.SecretPrimary}, {previous, webhook.SecretPrevious}, {next, webhook.SecretNext}} {
		if s.secret != nil {
			s.secret.Role = s.role
			live = append(live, *s.secret)
		}
	}
	return live
}
