package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/problem"
)

// How long sessions of the dashboard last, and how many there may be.
const (
	SessionIdle = 2 * time.Hour  // without a request
	SessionLife = 24 * time.Hour // of a session that began with an API key
	LinkLife    = 8 * time.Hour  // of a session that began with a link

	maxSessions = 10_000
)

// Session is somebody who is signed in to the dashboard. It is a snapshot of
// one request: ask for it again at the next one.
type Session struct {
	// By is who asks, for the methods of Gateway. It has what the API key has
	// now: a scope that was taken from the key is gone from its sessions too.
	By *Key

	// FromLink says that the session began with a link and is for the one
	// project in By.Projects.
	FromLink bool

	// Until is when the session ends at the latest.
	Until time.Time
}

// session is what is kept of a session. Its token is not.
type session struct {
	key     Key    // as it was when the session began
	link    string // the project of a session that began with a link, else empty
	until   time.Time
	touched time.Time // the last request
}

// sessions holds those who are signed in, in memory: they outlive a reload of
// the configuration, and a restart signs everybody out.
type sessions struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*session
}

// SignIn begins a session with an API key, which needs ScopeRead, and returns
// the session's token. Failed attempts are limited as AuthenticateFrom says.
// The error can be shown to the client.
func (g *Gateway) SignIn(_ context.Context, client netip.Addr, apiKey string) (token string, err error) {
	key, err := g.AuthenticateFrom(client, apiKey)
	if err != nil {
		return "", err
	}
	if err := RequireScope(key, ScopeRead); err != nil {
		return "", err
	}
	token = g.sessions.begin(&session{key: *key}, g.now(), SessionLife)
	g.log.Info("signed in to the dashboard", zap.String("key", key.Name))
	return token, nil
}

// SignOut ends the session of a token. Ending none is no error.
func (g *Gateway) SignOut(token string) { g.sessions.end(HashToken(token)) }

// Session returns the session of a token, which then stays alive for
// SessionIdle more. The error is a 401 to show to the client: there is none, it
// has ended, or the API key behind it was revoked, has expired or lost
// ScopeRead.
func (g *Gateway) Session(_ context.Context, token string) (Session, error) {
	hash := HashToken(token)
	s, ok := g.sessions.touch(hash, g.now())
	if !ok {
		return Session{}, signedOut()
	}
	by, err := g.present(&s.key)
	if err != nil {
		return Session{}, err
	}
	if by != nil && s.link != "" {
		by = limited(by, &s.key, s.link)
	}
	if by == nil || !by.Has(ScopeRead) {
		g.sessions.end(hash)
		return Session{}, signedOut()
	}
	return Session{By: by, FromLink: s.link != "", Until: s.until}, nil
}

func signedOut() *problem.Error {
	return problem.New(problem.Unauthorized, "You are not signed in, or the session has ended. Sign in again.")
}

// present returns what has become of a key: as it is now, or nil if it was
// revoked or has expired. Somebody whom another module has authenticated has
// no token; such a key stays as it is.
func (g *Gateway) present(was *Key) (*Key, error) {
	if was.Hash == ([sha256.Size]byte{}) {
		return was, nil
	}
	gen, err := g.generation()
	if err != nil {
		return nil, err
	}
	key := gen.keys.find(was.Hash)
	if key == nil {
		key = g.keys.find(was.Hash)
	}
	if key == nil || key.Expired(g.now()) {
		return nil, nil
	}
	return key, nil
}

// limited returns the key of a session that began with a link: for one project,
// with the scopes that the link's creator had then and has now. It is nil if
// the creator's key is not for the project any more.
func limited(now, then *Key, projectID string) *Key {
	if !now.Allows(projectID) {
		return nil
	}
	key := &Key{Name: now.Name, Projects: []string{projectID}}
	for _, scope := range then.Scopes {
		if now.Has(scope) && scope != ScopeIngest {
			key.Scopes = append(key.Scopes, scope)
		}
	}
	return key
}

// begin keeps a session and returns its token. When there are too many, some of
// those who have most of them end.
func (ss *sessions) begin(s *session, now time.Time, life time.Duration) (token string) {
	token = secretToken()
	s.key.Scopes = slices.Clone(s.key.Scopes)
	s.until, s.touched = now.Add(life), now

	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.byHash == nil {
		ss.byHash = make(map[[sha256.Size]byte]*session)
	}
	if len(ss.byHash) >= maxSessions {
		maps.DeleteFunc(ss.byHash, func(_ [sha256.Size]byte, s *session) bool { return s.over(now) })
	}
	makeRoom(ss.byHash, maxSessions, func(s *session) (owner, time.Time) { return owner{s.key.Hash, s.link}, s.touched })
	ss.byHash[HashToken(token)] = s
	return token
}

// owner tells apart who has a session or a link: an API key, and the project of
// the link.
type owner struct {
	key     [sha256.Size]byte
	project string
}

// makeRoom removes the tenth that is oldest of what the owner with the most has, if
// as many are kept as may be: so nobody can keep the others from theirs.
func makeRoom[T any](kept map[[sha256.Size]byte]T, limit int, look func(T) (owner, time.Time)) {
	if len(kept) < limit {
		return
	}
	counts := make(map[owner]int)
	var most owner
	for _, k := range kept {
		o, _ := look(k)
		if counts[o]++; counts[o] > counts[most] {
			most = o
		}
	}
	age := make(map[[sha256.Size]byte]time.Time)
	for hash, k := range kept {
		if o, at := look(k); o == most {
			age[hash] = at
		}
	}
	theirs := slices.SortedFunc(maps.Keys(age), func(a, b [sha256.Size]byte) int { return age[a].Compare(age[b]) })
	for _, hash := range theirs[:(len(theirs)+9)/10] {
		delete(kept, hash)
	}
}

func (s *session) over(now time.Time) bool {
	return !now.Before(s.until) || now.Sub(s.touched) >= SessionIdle
}

// touch returns a copy of a session that is not over, and notes the request.
func (ss *sessions) touch(hash [sha256.Size]byte, now time.Time) (session, bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s, ok := ss.byHash[hash]
	if !ok {
		return session{}, false
	}
	if s.over(now) {
		delete(ss.byHash, hash)
		return session{}, false
	}
	s.touched = now
	return *s, true
}

func (ss *sessions) end(hash [sha256.Size]byte) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byHash, hash)
}

// secretToken returns 260 random bits as letters and digits.
func secretToken() string { return rand.Text() + rand.Text() }
