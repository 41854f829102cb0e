package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/webhook"
)

// KeyFrom makes the key of a client whom something in front of the gateway has
// authenticated, from what that tells about it (contract section 4,
// projects_from and scopes_from): space-separated project ids, or "*" for
// every project, and space-separated scopes. No scopes are read and manage.
// name says where the two come from.
//
// The error is a 401 to show to the client; its text says more, for the log. No
// project is such an error, and so is a text that is not what it should be:
// whom it names is then unknown, and part of it is not taken for the whole.
func KeyFrom(name, projects, scopes string) (*Key, error) {
	k := &Key{Name: name, Projects: strings.Fields(projects)}
	switch {
	case len(k.Projects) == 0:
		return nil, fmt.Errorf("%s names no project: %w", name, unauthenticated())
	case len(k.Projects) == 1 && k.Projects[0] == webhook.AllProjects:
		k.Projects = nil
	default:
		for i, id := range k.Projects {
			if !webhook.ValidProjectID(id) {
				return nil, fmt.Errorf("%s: word %d is no project id: %w", name, i+1, unauthenticated())
			}
		}
	}
	for i, word := range strings.Fields(scopes) {
		scope := Scope(word)
		if !slices.Contains(Scopes, scope) {
			return nil, fmt.Errorf("%s: word %d is no scope: %w", name, i+1, unauthenticated())
		}
		k.Scopes = append(k.Scopes, scope)
	}
	if len(k.Scopes) == 0 {
		k.Scopes = DefaultScopes()
	}
	return k, nil
}
