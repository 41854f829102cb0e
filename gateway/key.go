package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// Scope is what an API key may do.
type Scope string

const (
	ScopeIngest Scope = "ingest" // publish events
	ScopeRead   Scope = "read"   // read webhooks, deliveries, events
	ScopeManage Scope = "manage" // change webhooks, send tests, retry, replay
)

// Scopes lists every Scope.
var Scopes = []Scope{ScopeIngest, ScopeRead, ScopeManage}

// Key is an API key. Only the hash of its token is kept.
type Key struct {
	Name string

	// Hash is the SHA-256 of the token. Tokens are long and random (20 to 256
	// characters), so that a fast hash is enough.
	Hash [sha256.Size]byte

	Scopes []Scope

	// Projects restricts the key to these projects. Empty: all.
	Projects []string
}

// HashToken returns what Key.Hash is for a token.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// Has says whether the key has the scope.
func (k *Key) Has(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Allows says whether the key is for the project.
func (k *Key) Allows(projectID string) bool {
	return len(k.Projects) == 0 || slices.Contains(k.Projects, projectID)
}

// keyring finds keys by token. It is immutable.
type keyring []Key

// find returns the key of a token. It looks at every key and compares in
// constant time, so that its duration tells nothing about any of them.
func (r keyring) find(token string) (*Key, bool) {
	hash := HashToken(token)
	found := -1
	for i := range r {
		if subtle.ConstantTimeCompare(hash[:], r[i].Hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return nil, false
	}
	return &r[found], true
}
