package caddymodule

import (
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// relay is a log core that passes everything on to another one. An engine
// outlives the configuration whose logger it was opened with, and Caddy closes
// the logs of a configuration that is gone: the engine logs to the newest of
// those that are there.
type relay struct {
	targets *targets // shared by all relays made by With
	fields  []zapcore.Field
}

// targets are the cores of the configurations that share an engine.
type targets struct {
	current atomic.Pointer[zapcore.Core]

	mu   sync.Mutex
	live []*zapcore.Core // oldest first
}

// newRelay returns a relay to core, for as long as none was added.
func newRelay(core zapcore.Core) *relay {
	r := &relay{targets: new(targets)}
	r.targets.current.Store(&core)
	return r
}

// add makes core the target of r and of every relay made from it. When remove
// is called, the newest of the others is; the last one stays.
func (r *relay) add(core zapcore.Core) (remove func()) {
	t := r.targets
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = append(t.live, &core)
	t.current.Store(&core)
	return func() { t.remove(&core) }
}

func (t *targets) remove(core *zapcore.Core) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = slices.DeleteFunc(t.live, func(c *zapcore.Core) bool { return c == core })
	if n := len(t.live); n > 0 {
		t.current.Store(t.live[n-1])
	}
}

func (r *relay) target() zapcore.Core { return *r.targets.current.Load() }

// Enabled implements zapcore.LevelEnabler.
func (r *relay) Enabled(level zapcore.Level) bool { return r.target().Enabled(level) }

// With implements zapcore.Core.
func (r *relay) With(fields []zapcore.Field) zapcore.Core {
	all := append(slices.Clip(r.fields), fields...)
	return &relay{targets: r.targets, fields: all}
}

// Check implements zapcore.Core.
func (r *relay) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if len(r.fields) == 0 {
		return r.target().Check(e, ce)
	}
	return r.target().With(r.fields).Check(e, ce)
}

// Write implements zapcore.Core.
func (r *relay) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return r.target().With(r.fields).Write(e, fields)
}

// Sync implements zapcore.Core.
func (r *relay) Sync() error { return r.target().Sync() }

// Interface guards
var _ zapcore.Core = (*relay)(nil)
