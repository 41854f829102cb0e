package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
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

// DefaultScopes returns the scopes of a key for which none are named (contract
// section 4).
func DefaultScopes() []Scope { return []Scope{ScopeRead, ScopeManage} }

// Key is an API key. Only the hash of its token is kept.
type Key struct {
	Name string

	// Hash is the SHA-256 of the token. Tokens are long and random (20 to 256
	// characters), so that a fast hash is enough.
	Hash [sha256.Size]byte

	Scopes []Scope

	// Projects restricts the key to these projects. Empty: all.
	Projects []string

	// CreatedAt is when the key was created at run time; zero for a key of the
	// configuration.
	CreatedAt time.Time

	// ExpiresAt is when the key ends by itself. Zero: never.
	ExpiresAt time.Time
}

// HashToken returns what Key.Hash is for a token.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// Static says whether the key is one of the configuration.
func (k *Key) Static() bool { return k.CreatedAt.IsZero() }

// Has says whether the key has the scope.
func (k *Key) Has(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Expired says whether the key has ended at the given time.
func (k *Key) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

func unauthorized() *problem.Error {
	return problem.New(problem.Unauthorized,
		`Send the header "Authorization: Bearer <API key>" with a key that the gateway knows.`)
}

// unauthenticated is the 401 of a client that something in front should have
// authenticated.
func unauthenticated() *problem.Error {
	return problem.New(problem.Unauthorized, "The authentication in front of the gateway names no project that this request is for.")
}

// keyring finds keys by token, in a time that does not depend on how many
// there are.
//
// It is a map by the first bytes of the tokens' hashes; what has the same first
// bytes is compared in constant time. So a lookup's duration can tell about
// those first bytes at most. They lead nowhere: whoever knew them, or the whole
// hash, would still have to find the token of 20 or more random characters
// behind it.
type keyring map[hashPrefix][]*Key

// hashPrefix is the beginning of a Key.Hash.
type hashPrefix [8]byte

func newKeyring(keys []Key) keyring {
	r := make(keyring, len(keys))
	for i := range keys {
		r.add(&keys[i])
	}
	return r
}

// find returns the key with the hash, or nil.
func (r keyring) find(hash [sha256.Size]byte) *Key {
	var found *Key
	for _, k := range r[hashPrefix(hash[:])] {
		if subtle.ConstantTimeCompare(hash[:], k.Hash[:]) == 1 {
			found = k
		}
	}
	return found
}

func (r keyring) add(k *Key) {
	p := hashPrefix(k.Hash[:])
	r[p] = append(r[p], k)
}

func (r keyring) remove(k *Key) {
	p := hashPrefix(k.Hash[:])
	rest := slices.DeleteFunc(slices.Clone(r[p]), func(other *Key) bool { return other == k })
	if len(rest) == 0 {
		delete(r, p)
		return
	}
	r[p] = rest
}
