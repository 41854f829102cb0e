package gateway

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/problem"
)

const (
	linkValid = 5 * time.Minute // contract section 3
	maxLinks  = 10_000

	// maxLinksOfOne is how many links one key can have for a project, so that it
	// cannot keep the others from theirs.
	maxLinksOfOne = maxLinks / 10
)

// Link opens the dashboard for one project, once.
type Link struct {
	Token     string
	ExpiresAt time.Time
}

// links holds the links that were not opened yet, in memory: a restart ends
// them.
type links struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]link
}

type link struct {
	by        Key
	projectID string
	expires   time.Time
}

// CreateLink makes a link to the dashboard of a project. The session that it
// opens has the scopes of the key that asked, at most, and ends with that key.
func (g *Gateway) CreateLink(_ context.Context, by *Key, projectID string) (Link, error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return Link{}, err
	}
	if !by.seesProject(projectID) {
		return Link{}, noProject()
	}
	now := g.now()
	made := Link{Token: secretToken(), ExpiresAt: now.Add(linkValid).UTC().Truncate(time.Second)}
	kept := link{by: *by, projectID: projectID, expires: made.ExpiresAt}
	kept.by.Scopes = slices.Clone(by.Scopes)
	if !g.links.add(HashToken(made.Token), kept, now) {
		return Link{}, problem.Later(problem.TooManyRequests, "Too many dashboard links wait to be opened. They end after five minutes.", time.Minute)
	}
	return made, nil
}

// OpenLink uses a link up and begins the session that it is for; token is the
// session's. The error is a 401 to show to the client.
func (g *Gateway) OpenLink(_ context.Context, linkToken string) (token, projectID string, err error) {
	l, ok := g.links.take(HashToken(linkToken), g.now())
	if !ok {
		return "", "", problem.New(problem.Unauthorized,
			"This link was used already or has expired: it works once, within five minutes. Open the page that gave it to you again.")
	}
	by, err := g.present(&l.by)
	if err != nil {
		return "", "", err
	}
	if by == nil || !by.Has(ScopeRead) || !by.Allows(l.projectID) {
		return "", "", problem.New(problem.Unauthorized, "The API key that made this link does not work any more.")
	}
	token = g.sessions.begin(&session{key: l.by, link: l.projectID}, g.now(), LinkLife)
	g.log.Info("signed in to the dashboard by a link", zap.String("key", l.by.Name), zap.String("project_id", l.projectID))
	return token, l.projectID, nil
}

// add keeps a link, unless its owner has too many. When there are too many in all,
// those who have most lose some.
func (ls *links) add(hash [sha256.Size]byte, l link, now time.Time) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.byHash == nil {
		ls.byHash = make(map[[sha256.Size]byte]link)
	}
	if len(ls.byHash) >= maxLinksOfOne && ls.of(l.owner(), now) >= maxLinksOfOne {
		return false
	}
	makeRoom(ls.byHash, maxLinks, func(l link) (owner, time.Time) { return l.owner(), l.expires })
	ls.byHash[hash] = l
	return true
}

// of forgets what has expired and counts the links of an owner. The caller holds mu.
func (ls *links) of(whose owner, now time.Time) (n int) {
	for hash, l := range ls.byHash {
		switch {
		case !now.Before(l.expires):
			delete(ls.byHash, hash)
		case l.owner() == whose:
			n++
		}
	}
	return n
}

func (l link) owner() owner { return owner{l.by.Hash, l.projectID} }

// take removes a link and returns it if it has not expired.
func (ls *links) take(hash [sha256.Size]byte, now time.Time) (link, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l, ok := ls.byHash[hash]
	delete(ls.byHash, hash)
	return l, ok && now.Before(l.expires)
}
