package caddymodule

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
)

// engines holds the open gateway of each store, by the store's key. A gateway
// outlives the configuration that opened it: on a reload the next one finds it
// here, so that there is one dispatcher for a store and nothing is sent twice.
var engines = caddy.NewUsagePool()

// engine is a gateway that generations of the configuration share.
type engine struct {
	key     string // in engines
	gateway *gateway.Gateway
	logs    *relay
	events  *bus
	closing sync.Once
	closed  chan struct{} // closed when the gateway is
	err     error         // of closing it; read after closed
}

// openEngine returns the engine of a store, opening it if no generation has.
// Who gets one without an error gives it back by releaseEngine, once.
func openEngine(ctx context.Context, opener StoreOpener, logger *zap.Logger) (*engine, error) {
	key := opener.StoreKey()
	value, _, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) {
		return newEngine(ctx, key, opener, logger)
	})
	if err != nil {
		return nil, err
	}
	return value.(*engine), nil
}

func newEngine(ctx context.Context, key string, opener StoreOpener, logger *zap.Logger) (*engine, error) {
	logs := newRelay(logger.Core())
	stable := zap.New(logs).Named(appName)
	store, err := opener.OpenStore(ctx, StoreOptions{Logger: stable.Named("store"), OnCommit: metrics.storeCommitted})
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	owner, err := caddy.InstanceID()
	if err != nil {
		owner = [16]byte{} // claims are told apart by their tokens; the owner is for diagnosis
	}
	keyFile := ""
	if f, ok := opener.(KeyFiler); ok {
		keyFile = f.SecretsKeyFile()
	}
	events := newBus(stable)
	gw, err := gateway.Open(ctx, gateway.Options{
		KeyFile:  keyFile,
		Store:    store,
		Owner:    owner.String(),
		Logger:   stable,
		Observer: metrics,
		Announce: events.announce,
	})
	if err != nil {
		events.close()
		_ = store.Close() // the first error is the one to tell
		return nil, fmt.Errorf("open gateway: %w", err)
	}
	// Loading a configuration and opening a store leave more garbage than an idle
	// gateway needs, and the next collection may be far away.
	debug.FreeOSMemory()
	return &engine{key: key, gateway: gw, logs: logs, events: events, closed: make(chan struct{})}, nil
}

// releaseEngine gives an engine back; the last one to do so closes it.
func releaseEngine(e *engine) error {
	_, err := engines.Delete(e.key)
	return err
}

// close ends delivery and closes the store. It waits until that is done, also
// when somebody else began it.
func (e *engine) close() error {
	e.closing.Do(func() {
		defer close(e.closed)
		e.err = e.gateway.Close()
		e.events.close()
	})
	<-e.closed
	return e.err
}

// Destruct implements caddy.Destructor.
func (e *engine) Destruct() error { return e.close() }

// Interface guards
var _ caddy.Destructor = (*engine)(nil)
