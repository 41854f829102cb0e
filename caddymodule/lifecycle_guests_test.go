package caddymodule_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/caddymodule"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
)

func init() {
	caddy.RegisterModule(tracedStore{})
	caddy.RegisterModule(wordFilter{})
	caddy.RegisterModule(failingApp{})
}

// tracedStore is a guest module: the Badger store, with a record of who opened
// and closed it.
type tracedStore struct {
	Dir string `json:"dir,omitempty"`
}

func (tracedStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhook_gateway.stores.traced", New: func() caddy.Module { return new(tracedStore) }}
}

func (s *tracedStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "dir" || !d.Args(&s.Dir) {
			return d.ArgErr()
		}
	}
	return nil
}

func (s *tracedStore) StoreKey() string { return s.Dir }

func (s *tracedStore) OpenStore(_ context.Context, o caddymodule.StoreOptions) (queue.Store, error) {
	if err := traces.opening(s.Dir); err != nil {
		return nil, err
	}
	store, err := badgerstore.Open(badgerstore.Options{Dir: s.Dir, Logger: o.Logger, OnCommit: o.OnCommit})
	if err != nil {
		return nil, err
	}
	return traces.opened(s.Dir, store, o.Logger), nil
}

// trace is what happened to the store of a directory.
type trace struct {
	store         queue.Store
	logger        *zap.Logger
	opens, closes int
}

// tracer keeps the traces of all directories.
type tracer struct {
	mu    sync.Mutex
	byDir map[string]*trace

	damaged atomic.Int64           // records, as the stores tell
	hook    func(dir string) error // asked before a store is opened
}

var traces = &tracer{byDir: make(map[string]*trace)}

func (tr *tracer) opening(dir string) error {
	tr.mu.Lock()
	hook := tr.hook
	tr.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(dir)
}

func (tr *tracer) opened(dir string, s queue.Store, logger *zap.Logger) queue.Store {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	t := tr.byDir[dir]
	if t == nil {
		t = new(trace)
		tr.byDir[dir] = t
	}
	t.opens++
	t.store, t.logger = s, logger
	return &closeTracer{Store: s, dir: dir}
}

func (tr *tracer) setHook(hook func(dir string) error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.hook = hook
}

// of returns the trace of a directory.
func (tr *tracer) of(dir string) trace {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if t := tr.byDir[dir]; t != nil {
		return *t
	}
	return trace{}
}

func (tr *tracer) open() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var dirs []string
	for dir, t := range tr.byDir {
		if t.opens > t.closes {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (tr *tracer) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.byDir, tr.hook = make(map[string]*trace), nil
	tr.damaged.Store(0)
}

// closeTracer records when a store is closed.
type closeTracer struct {
	queue.Store
	dir string
}

// checkedAt is when the traced store tells that it was last checked.
var checkedAt = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func (c *closeTracer) Stats() queue.Stats {
	st := c.Store.Stats()
	st.CheckedAt, st.Damaged = checkedAt, traces.damaged.Load()
	return st
}

func (c *closeTracer) Close() error {
	err := c.Store.Close()
	traces.mu.Lock()
	defer traces.mu.Unlock()
	traces.byDir[c.dir].closes++
	return err
}

// wordFilter is a guest module: a filter engine whose programs look for a word
// in the type of the event.
type wordFilter struct{}

func (wordFilter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhook_gateway.filters.word", New: func() caddy.Module { return new(wordFilter) }}
}

func (wordFilter) Compile(text string, _ filter.Names) (filter.Program, error) {
	if strings.Contains(text, " ") {
		return nil, errors.New("a word has no spaces")
	}
	return word(text), nil
}

type word string

func (w word) Match(ev *filter.Event) (bool, error) {
	variables, err := ev.Variables()
	if err != nil {
		return false, err
	}
	eventType, _ := variables["type"].(string)
	return strings.Contains(eventType, string(w)), nil
}

// failingApp is an app of Caddy that cannot start.
type failingApp struct{}

func (failingApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifecycle_test_failing", New: func() caddy.Module { return new(failingApp) }}
}

func (*failingApp) Start() error { return errors.New("this app never starts") }
func (*failingApp) Stop() error  { return nil }

// withFailingApp adds failingApp to a configuration.
func withFailingApp(doc map[string]any) {
	doc["apps"].(map[string]any)["lifecycle_test_failing"] = map[string]any{}
}
