package api

import (
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// newKey is the body that creates an API key.
type newKey struct {
	Name      member[string]   `json:"name"`
	Scopes    member[[]string] `json:"scopes" required:"false" nullable:"true"`
	Projects  member[[]string] `json:"projects" required:"false" nullable:"true"`
	ExpiresAt member[moment]   `json:"expires_at" required:"false" nullable:"true"`
}

func (b *newKey) spec() gateway.KeySpec {
	s := gateway.KeySpec{Name: b.Name.Value, Projects: b.Projects.Value, ExpiresAt: time.Time(b.ExpiresAt.Value)}
	for _, scope := range b.Scopes.Value {
		s.Scopes = append(s.Scopes, gateway.Scope(scope))
	}
	return s
}

// DecodeKey reads what asks for an API key. Keys are made by the admin API, not by
// this one, but all bodies are judged alike: the error lists all that is wrong.
func DecodeKey(text []byte) (gateway.KeySpec, error) {
	var b newKey
	items, err := decode(text, &b, false)
	if err != nil {
		return gateway.KeySpec{}, err
	}
	spec := b.spec()
	if len(items) > 0 { // else the gateway judges it
		if err := spec.Check(time.Now()); err != nil {
			items = append(items, notTold(problem.From(err).Items, items)...)
		}
	}
	return spec, invalid(items)
}
