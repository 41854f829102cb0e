package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
)

const (
	appName         = "webhook_gateway"
	storeNamespace  = appName + ".stores"
	filterNamespace = appName + ".filters"
)

// StoreOpener is implemented by guest modules of the namespace
// webhook_gateway.stores: they know how to open a store. The app does the
// rest: it opens a store when it starts, never while a configuration is only
// checked, keeps it open over reloads, and closes it when no configuration
// needs it any more.
type StoreOpener interface {
	// StoreKey identifies what OpenStore opens, such as a directory. Two
	// openers with equal keys open the same store, whatever their other
	// settings; it is then opened once, with the settings of the first.
	StoreKey() string

	// OpenStore opens the store, which must keep the contract of queue.Store.
	// If it is a queue.Backuper too, "caddy webhook backup" works with it.
	// The context bounds the opening only.
	OpenStore(ctx context.Context, o StoreOptions) (queue.Store, error)
}

// KeyFiler is implemented by stores that have a place for the key that seals
// secrets. With the others secrets_key is needed to create webhooks.
type KeyFiler interface {
	// SecretsKeyFile returns the path of the file in which a key is generated
	// and kept unless secrets_key is set. It is asked for when the store is
	// open and has to survive as the store does.
	SecretsKeyFile() string
}

// StoreOptions is what the app hands to a store. The store may use it until it
// is closed.
type StoreOptions struct {
	// Logger goes on working when the configuration is replaced.
	Logger *zap.Logger

	// OnCommit is told of each commit: how long it took and how many
	// operations it made durable. It is never nil, quick, and safe for
	// concurrent use.
	OnCommit func(took time.Duration, operations int)
}

// loadStore returns the configured store's opener, or the default one.
func (a *App) loadStore(ctx caddy.Context) (StoreOpener, error) {
	var module any
	var err error
	if a.StoreRaw == nil {
		module, err = ctx.LoadModuleByID(storeNamespace+".badger", nil)
	} else {
		module, err = ctx.LoadModule(a, "StoreRaw")
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	opener, ok := module.(StoreOpener)
	if !ok {
		return nil, fmt.Errorf("store: module is not a store (%T)", module)
	}
	return opener, nil
}

// loadEngines returns the filter engines by name: expr, those with settings,
// and those that the webhooks name.
func (a *App) loadEngines(ctx caddy.Context) (map[string]filter.Engine, error) {
	modules := make(map[string]any)
	if a.FilterEnginesRaw != nil {
		loaded, err := ctx.LoadModule(a, "FilterEnginesRaw")
		if err != nil {
			return nil, fmt.Errorf("filter_engines: %w", err)
		}
		modules = loaded.(map[string]any)
	}
	engines := make(map[string]filter.Engine, len(modules)+1)
	add := func(name string, module any) error {
		engine, ok := module.(filter.Engine)
		if !ok {
			return fmt.Errorf("filter engine %s: module is not a filter engine (%T)", name, module)
		}
		engines[name] = engine
		return nil
	}
	for name, module := range modules {
		if err := add(name, module); err != nil {
			return nil, err
		}
	}
	for name, user := range a.engineUsers() {
		if engines[name] != nil {
			continue
		}
		module, err := ctx.LoadModuleByID(filterNamespace+"."+name, nil)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: filter engine %s: %w", user, name, err)
		}
		if err := add(name, module); err != nil {
			return nil, err
		}
	}
	return engines, nil
}
