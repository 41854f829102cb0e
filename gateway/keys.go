package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// TokenPrefix begins every token that CreateKey makes, so that people and
// secret scanners recognise one.
const TokenPrefix = "wgw_"

// KeySpec asks for an API key.
type KeySpec struct {
	Name      string    // as names in the configuration
	Scopes    []Scope   // empty: read and manage
	Projects  []string  // empty: all
	ExpiresAt time.Time // zero: never; else in the future
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidName reports whether an API key, or a webhook of the configuration, may
// have the name (contract section 4).
func ValidName(name string) bool { return nameForm.MatchString(name) }

// NameRule says what ValidName takes.
const NameRule = "must have 1 to 63 of the characters a-z 0-9 _ - and begin with a letter or digit"

// Check returns a problem with everything that is wrong with the spec.
func (s *KeySpec) Check(now time.Time) error {
	var items []problem.Item
	wrong := func(pointer, detail string) {
		items = append(items, problem.Item{Code: problem.InvalidValue, Pointer: pointer, Detail: detail})
	}
	if !ValidName(s.Name) {
		wrong("#/name", "A name "+NameRule+".")
	}
	for i, scope := range s.Scopes {
		if !slices.Contains(Scopes, scope) {
			wrong(fmt.Sprintf("#/scopes/%d", i), "The scopes are ingest, read and manage.")
		} else if slices.Contains(s.Scopes[:i], scope) {
			wrong(fmt.Sprintf("#/scopes/%d", i), "The scope is there twice.")
		}
	}
	for i, id := range s.Projects {
		if !webhook.ValidProjectID(id) {
			wrong(fmt.Sprintf("#/projects/%d", i), "A project id has "+webhook.ProjectIDRule+". For every project leave all out.")
		}
	}
	if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
		wrong("#/expires_at", "The time lies in the past.")
	}
	if len(items) == 0 {
		return nil
	}
	return problem.New(problem.Invalid, "The API key breaks a rule; see errors.", items...)
}

// CreateKey makes an API key and returns it with its token. The token is not
// kept: it cannot be shown again. Names are unique, also among the keys of the
// configuration.
func (g *Gateway) CreateKey(ctx context.Context, spec KeySpec) (Key, string, error) {
	gen, err := g.generation()
	if err != nil {
		return Key{}, "", err
	}
	now := g.now().UTC()
	if err := spec.Check(now); err != nil {
		return Key{}, "", err
	}
	if slices.ContainsFunc(gen.settings.Keys, func(k Key) bool { return k.Name == spec.Name }) {
		return Key{}, "", problem.New(problem.Conflict, "The configuration has an API key of this name. Choose another name.")
	}
	token := TokenPrefix + secretToken()
	key := Key{
		Name:      spec.Name,
		Hash:      HashToken(token),
		Scopes:    slices.Clone(spec.Scopes),
		Projects:  slices.Clone(spec.Projects),
		CreatedAt: now,
	}
	if len(key.Scopes) == 0 {
		key.Scopes = DefaultScopes()
	}
	if !spec.ExpiresAt.IsZero() {
		key.ExpiresAt = spec.ExpiresAt.UTC()
	}
	if err := g.keys.create(ctx, &key); err != nil {
		return Key{}, "", err
	}
	g.log.Info("api key created", zap.String("key", key.Name), zap.Any("scopes", key.Scopes), zap.Strings("projects", key.Projects))
	return key, token, nil
}

// Keys lists the API keys by name: those of the configuration and those that
// were created at run time, expired ones included.
func (g *Gateway) Keys(context.Context) ([]Key, error) {
	gen, err := g.generation()
	if err != nil {
		return nil, err
	}
	keys := append(slices.Clone(gen.settings.Keys), g.keys.list()...)
	slices.SortStableFunc(keys, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
	return keys, nil
}

// RevokeKey ends an API key that was created at run time, at once and for
// every configuration. A request that was let in before goes on. On an error of
// the store the key has no more effect in this process, but may be there again
// after a restart: revoke it once more.
func (g *Gateway) RevokeKey(ctx context.Context, name string) error {
	gen, err := g.generation()
	if err != nil {
		return err
	}
	key, err := g.keys.revoke(ctx, name)
	if err != nil {
		return err
	}
	if key != nil {
		g.authLimit.forget(key)
		g.log.Info("api key revoked", zap.String("key", name))
		return nil
	}
	if slices.ContainsFunc(gen.settings.Keys, func(k Key) bool { return k.Name == name }) {
		return problem.New(problem.Conflict, "This API key is one of the configuration. Remove it there and reload.")
	}
	return noKey()
}

// Authenticate returns the API key of a token; the error is a 401 to show to
// the client. Handlers use AuthenticateFrom, which limits failed attempts.
func (g *Gateway) Authenticate(token string) (*Key, error) {
	gen, err := g.generation()
	if err != nil {
		return nil, err
	}
	hash := HashToken(token)
	static, created := gen.keys.find(hash), g.keys.find(hash)
	key := static
	if key == nil {
		key = created
	}
	if key == nil || token == "" || key.Expired(g.now()) { // a request without a token has no key, whatever hash was configured
		return nil, unauthorized()
	}
	return key, nil
}

// AuthenticateFrom is Authenticate for a client at an address, with failed
// attempts limited as authLimit says. The error is a 401 or 429 to show to
// the client. A request without a token is a 401 and no attempt: nothing was
// tried.
func (g *Gateway) AuthenticateFrom(client netip.Addr, token string) (*Key, error) {
	key, err := g.Authenticate(token)
	switch {
	case err == nil && g.authLimit.knows(client, key):
		return key, nil
	case token == "", problem.From(err).Code == problem.Unavailable:
		return nil, err
	}
	if limited := g.authLimit.allow(client); limited != nil && (err != nil || !shared(client)) {
		return nil, limited
	}
	if err != nil {
		g.authLimit.failed(client)
		return nil, err
	}
	g.authLimit.remember(client, key)
	return key, nil
}

// createdKeys are the API keys that were created at run time, as the store has
// them. They belong to no configuration.
type createdKeys struct {
	store queue.Store

	// change makes changes happen one after the other. It is held across calls
	// of the store; mu is not, so that nobody who authenticates waits for one.
	change sync.Mutex

	mu     sync.RWMutex
	byHash keyring
	byName map[string]*Key // also those that are being revoked
}

// loadKeys reads all API keys of a store.
func loadKeys(ctx context.Context, store queue.Store, log *zap.Logger) (*createdKeys, error) {
	all := &createdKeys{store: store, byHash: make(keyring), byName: make(map[string]*Key)}
	err := eachRecord(ctx, store, queue.KeyRecord, func(rec *queue.Record) error {
		key, err := decodeKey(*rec)
		if err != nil {
			return err
		}
		all.byName[key.Name] = key
		all.byHash.add(key)
		return nil
	}, func(name string) {
		log.Error("api key is damaged in the store and does not work: revoke it, create another", zap.String("key", name))
		all.byName[name] = &Key{Name: name, CreatedAt: time.Unix(0, 0).UTC()}
	})
	return all, err
}

func (c *createdKeys) find(hash [sha256.Size]byte) *Key {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byHash.find(hash)
}

func (c *createdKeys) list() []Key {
	c.mu.RLock()
	defer c.mu.RUnlock()
	keys := make([]Key, 0, len(c.byName))
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		keys = append(keys, *c.byName[name])
	}
	return keys
}

func (c *createdKeys) create(ctx context.Context, key *Key) error {
	rec, err := encodeKey(key)
	if err != nil {
		return err
	}
	c.change.Lock()
	defer c.change.Unlock()
	if c.named(key.Name) != nil {
		return nameTaken()
	}
	switch _, err := c.store.PutRecord(context.WithoutCancel(ctx), rec); { // as in Gateway.save
	case errors.Is(err, queue.ErrVersion):
		return nameTaken()
	case err != nil:
		return refusal(fmt.Errorf("save api key %s: %w", key.Name, err), noKey())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName[key.Name] = key
	c.byHash.add(key)
	return nil
}

// revoke ends a key and returns it, or nil if there is none. The memory forgets
// its token first and its name last, so that a call after a failed one tries
// again.
func (c *createdKeys) revoke(ctx context.Context, name string) (*Key, error) {
	c.change.Lock()
	defer c.change.Unlock()
	key := c.named(name)
	if key == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	c.mu.Lock()
	c.byHash.remove(key)
	c.mu.Unlock()
	if err := c.store.DeleteRecord(context.WithoutCancel(ctx), queue.KeyRecord, name); err != nil {
		return nil, refusal(fmt.Errorf("revoke api key %s: %w", name, err), noKey())
	}
	c.mu.Lock()
	delete(c.byName, name)
	c.mu.Unlock()
	return key, nil
}

func (c *createdKeys) named(name string) *Key {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName[name]
}

func nameTaken() error {
	return problem.New(problem.Conflict, "There is an API key of this name. Choose another one, or revoke that key first.")
}

// keyRecord is what the store keeps of an API key.
type keyRecord struct {
	SHA256    string    `json:"sha256"`
	Scopes    []Scope   `json:"scopes"`
	Projects  []string  `json:"projects,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func encodeKey(k *Key) (queue.Record, error) {
	data, err := json.Marshal(keyRecord{
		SHA256:    hex.EncodeToString(k.Hash[:]),
		Scopes:    k.Scopes,
		Projects:  k.Projects,
		CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt,
	})
	if err != nil {
		return queue.Record{}, fmt.Errorf("encode api key %s: %w", k.Name, err)
	}
	return queue.Record{Kind: queue.KeyRecord, ID: k.Name, Data: data}, nil
}

func decodeKey(rec queue.Record) (*Key, error) {
	var stored keyRecord
	if err := json.Unmarshal(rec.Data, &stored); err != nil {
		return nil, err
	}
	hash, err := hex.DecodeString(stored.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return nil, errors.New("its hash is malformed")
	}
	return &Key{
		Name:      rec.ID,
		Hash:      [sha256.Size]byte(hash),
		Scopes:    stored.Scopes,
		Projects:  stored.Projects,
		CreatedAt: stored.CreatedAt,
		ExpiresAt: stored.ExpiresAt,
	}, nil
}
