package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The defaults of the settings (contract section 4).
const (
	defaultTimeout              = 5 * time.Second
	defaultWorkers              = 256
	defaultConcurrency          = 16
	defaultMaxPending           = 10_000_000
	defaultMaxPendingPerWebhook = 1_000_000
	defaultMaxWebhooks          = 100_000
	defaultRetention            = 30 * day
	defaultDisableAfter         = 5 * day
	defaultDrainTimeout         = 3 * time.Second
	defaultUserAgent            = "Tengine-Webhooks/1"
)

const maxUserAgent = 256

// resolve turns the configuration into settings: it fills in defaults, loads
// guest modules, resolves placeholders and checks everything. It opens no
// store, creates nothing on disk and starts nothing, because it also runs
// beside a live server that only wants to know whether a configuration is
// sound. The error names every setting that is wrong and no secret.
//
// The caller closes the settings' Egress, or hands it to a gateway.
func (a *App) resolve(ctx caddy.Context) (*gateway.Settings, StoreOpener, error) {
	opener, err := a.loadStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := a.scalars()
	if err != nil {
		return nil, nil, err
	}
	if s.Engines, err = a.loadEngines(ctx); err != nil {
		return nil, nil, err
	}
	if s.Keys, err = a.keys(ctx.Logger()); err != nil {
		return nil, nil, err
	}
	if s.SecretsKey, s.PreviousSecretsKey, err = a.secretsKeys(ctx.Logger()); err != nil {
		return nil, nil, err
	}
	egressConfig, err := a.Egress.config(ctx.Logger())
	if err != nil {
		return nil, nil, err
	}
	if s.Egress, err = egress.New(egressConfig); err != nil {
		return nil, nil, err
	}
	if s.Static, err = a.subscriptions(s.CheckContext(), ctx.Logger()); err != nil {
		s.Egress.Close()
		return nil, nil, err
	}
	return s, opener, nil
}

// scalars returns settings with everything that is a plain value.
func (a *App) scalars() (*gateway.Settings, error) {
	s := &gateway.Settings{
		APIVersion:           cmp.Or(a.APIVersion, webhook.DefaultAPIVersion),
		DefaultProject:       a.DefaultProject,
		PreserveUnsafe:       a.UnsafeJSON == unsafePreserve,
		Retry:                queue.DefaultSchedule(),
		Timeout:              cmp.Or(time.Duration(a.Timeout), defaultTimeout),
		Workers:              cmp.Or(a.Workers, defaultWorkers),
		Concurrency:          cmp.Or(a.Concurrency, defaultConcurrency),
		MaxPending:           cmp.Or(a.MaxPending, defaultMaxPending),
		MaxPendingPerWebhook: cmp.Or(a.MaxPendingPerWebhook, defaultMaxPendingPerWebhook),
		MaxWebhooks:          cmp.Or(a.MaxWebhooks, defaultMaxWebhooks),
		Retention:            cmp.Or(time.Duration(a.Retention), defaultRetention),
		DisableAfter:         defaultDisableAfter,
		DrainTimeout:         defaultDrainTimeout,
		UserAgent:            cmp.Or(a.UserAgent, defaultUserAgent),
	}
	if a.Retry != nil {
		s.Retry = durations(a.Retry)
	}
	if a.DisableAfter != nil {
		s.DisableAfter = time.Duration(*a.DisableAfter)
	}
	if a.DrainTimeout != nil {
		s.DrainTimeout = time.Duration(*a.DrainTimeout)
	}
	var err error
	if s.Catalogue, err = a.EventTypes.catalogue(); err != nil {
		return nil, err
	}
	return s, a.checkScalars(s)
}

// checkScalars returns every plain value that is out of its range. What comes
// from the Caddyfile was checked there already.
func (a *App) checkScalars(s *gateway.Settings) error {
	var errs []error
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if !webhook.ValidAPIVersion(s.APIVersion) {
		check("api_version", errors.New("it must have 1 to 64 of the characters A-Z a-z 0-9 . _ -"))
	}
	if a.EventTypes != nil {
		check("event_types", a.EventTypes.check())
	}
	if s.DefaultProject != "" && !webhook.ValidProjectID(s.DefaultProject) {
		check("default_project", errors.New("it must have "+webhook.ProjectIDRule))
	}
	if a.UnsafeJSON != "" && !slices.Contains(unsafeJSONChoices, a.UnsafeJSON) {
		check("unsafe_json", fmt.Errorf("it must be %s", strings.Join(unsafeJSONChoices, " or ")))
	}
	check("retry", checkRetry(a.Retry))
	check("timeout", timeoutRange.check(caddy.Duration(s.Timeout)))
	check("workers", workersRange.check(s.Workers))
	check("concurrency", concurrencyRange.check(s.Concurrency))
	check("max_pending", pendingRange.check(s.MaxPending))
	check("max_pending_per_webhook", pendingRange.check(s.MaxPendingPerWebhook))
	check("max_webhooks", maxWebhooksRange.check(s.MaxWebhooks))
	check("retention", retentionRange.check(caddy.Duration(s.Retention)))
	if s.DisableAfter != 0 {
		check("disable_after", retentionRange.check(caddy.Duration(s.DisableAfter)))
	}
	check("drain_timeout", drainTimeoutRange.check(caddy.Duration(s.DrainTimeout)))
	check("user_agent", checkUserAgent(s.UserAgent))
	return errors.Join(errs...)
}

func checkUserAgent(text string) error {
	visible := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
	if len(text) > maxUserAgent || !visible || strings.TrimSpace(text) != text {
		return fmt.Errorf("it must have 1 to %d printable ASCII characters and no space at its ends", maxUserAgent)
	}
	return nil
}

const (
	minSecretsKey = 32
	maxSecretsKey = 1024
)

// secretsKeys returns the texts of the key that seals secrets on disk, or "" if
// one is to be generated, and of the one before it, or "".
func (a *App) secretsKeys(logger *zap.Logger) (key, previous string, err error) {
	if a.SecretsKey == "" && a.PreviousSecretsKey != "" {
		return "", "", errors.New("previous_secrets_key: it needs secrets_key, the key to change to")
	}
	if key, err = resolveSecretsKey("secrets_key", a.SecretsKey, logger); err != nil {
		return "", "", err
	}
	if previous, err = resolveSecretsKey("previous_secrets_key", a.PreviousSecretsKey, logger); err != nil {
		return "", "", err
	}
	if key != "" && key == previous {
		return "", "", errors.New("secrets_key: the key and the previous one must differ")
	}
	return key, previous, nil
}

func resolveSecretsKey(name, raw string, logger *zap.Logger) (string, error) {
	if raw == "" {
		return "", nil
	}
	text, literal, err := resolveText(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	text = strings.TrimSpace(text) // a file ends with a line break
	if n := utf8.RuneCountInString(text); n < minSecretsKey || n > maxSecretsKey {
		return "", fmt.Errorf("%s: it has %d characters, it must have %d to %d: openssl rand -base64 32 prints a good one",
			name, n, minSecretsKey, maxSecretsKey)
	}
	if literal {
		warnLiteral(logger, name)
	}
	return text, nil
}

// keys returns the API keys, ordered by name.
func (a *App) keys(logger *zap.Logger) ([]gateway.Key, error) {
	var keys []gateway.Key
	var errs []error
	owners := make(map[[sha256.Size]byte]string)
	for _, name := range slices.Sorted(maps.Keys(a.APIKeys)) {
		key, err := a.APIKeys[name].key(name, logger)
		if err != nil {
			errs = append(errs, fmt.Errorf("api_key %s: %w", name, err))
			continue
		}
		if other, ok := owners[key.Hash]; ok {
			errs = append(errs, fmt.Errorf("api_key %s: it has the same token as api_key %s", name, other))
			continue
		}
		owners[key.Hash] = name
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// key resolves and checks one API key.
func (k *APIKey) key(name string, logger *zap.Logger) (gateway.Key, error) {
	if err := checkName(name); err != nil {
		return gateway.Key{}, err
	}
	if k == nil || k.Token == "" {
		return gateway.Key{}, errors.New("a token is required")
	}
	token, literal, err := resolveText(k.Token)
	if err != nil {
		return gateway.Key{}, err
	}
	scopes, err := k.scopes()
	if err != nil {
		return gateway.Key{}, err
	}
	if err := checkProjects(k.Projects); err != nil {
		return gateway.Key{}, err
	}
	key := gateway.Key{Name: name, Scopes: scopes, Projects: projectsOf(k.Projects)}
	digits, hashed := strings.CutPrefix(token, hashPrefix)
	if !hashed && len(token) >= len(hashPrefix) && strings.EqualFold(token[:len(hashPrefix)], hashPrefix) {
		return gateway.Key{}, errors.New("sha256: before the hash of a token is in lower case") // nobody means this for a token
	}
	if hashed {
		if n, err := hex.Decode(key.Hash[:], []byte(digits)); len(digits) != 2*sha256.Size || err != nil || n != sha256.Size {
			return gateway.Key{}, errors.New("what follows sha256: must be the 64 hex digits of the token's hash")
		}
		if key.Hash == gateway.HashToken("") {
			return gateway.Key{}, errors.New("this is the hash of an empty text: the token was missing when it was made")
		}
		return key, nil
	}
	if err := checkToken(token); err != nil {
		return gateway.Key{}, err
	}
	if literal {
		warnLiteral(logger, "token of api_key "+name)
	}
	key.Hash = gateway.HashToken(token)
	return key, nil
}

const (
	minToken   = 20
	maxToken   = 256
	hashPrefix = "sha256:"
)

func checkToken(token string) error {
	if n := utf8.RuneCountInString(token); n < minToken || n > maxToken {
		return fmt.Errorf("the token has %d characters, it must have %d to %d: openssl rand -hex 32 prints a good one", n, minToken, maxToken)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token has a space, a control character or one that is not ASCII: clients could not send it")
	}
	return nil
}

// scopes returns what the key may do.
func (k *APIKey) scopes() ([]gateway.Scope, error) {
	if len(k.Scopes) == 0 {
		return gateway.DefaultScopes(), nil
	}
	var scopes []gateway.Scope
	for _, name := range k.Scopes {
		scope := gateway.Scope(name)
		if !slices.Contains(gateway.Scopes, scope) {
			return nil, fmt.Errorf("there is no scope %q: use ingest, read or manage", name)
		}
		if slices.Contains(scopes, scope) {
			return nil, fmt.Errorf("the scope %s is there twice", scope)
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

func warnLiteral(logger *zap.Logger, what string) {
	logger.Warn("a secret is written in the configuration, where everyone who can read /config/ sees it: use {env.NAME} or {file./path}",
		zap.String("setting", what))
}

func durations(list []caddy.Duration) []time.Duration {
	out := make([]time.Duration, len(list))
	for i, d := range list {
		out[i] = time.Duration(d)
	}
	return out
}
