package caddymodule

import (
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// relay is a log core that passes everything on to the core it was last
// pointed at. An engine outlives the configuration whose logger it was opened
// with; Caddy closes the logs of an old configuration, so the engine's logger
// is pointed at the newest.
type relay struct {
	target *atomic.Pointer[zapcore.Core] // shared by all relays made by With
	fields []zapcore.Field
}

func newRelay(core zapcore.Core) *relay {
	r := &relay{target: new(atomic.Pointer[zapcore.Core])}
	r.point(core)
	return r
}

// point makes core the target of r and of every relay made from it.
func (r *relay) point(core zapcore.Core) { r.target.Store(&core) }

// Enabled implements zapcore.LevelEnabler.
func (r *relay) Enabled(level zapcore.Level) bool { return (*r.target.Load()).Enabled(level) }

// With implements zapcore.Core.
func (r *relay) With(fields []zapcore.Field) zapcore.Core {
	all := append(r.fields[:len(r.fields):len(r.fields)], fields...)
	return &relay{target: r.target, fields: all}
}

// Check implements zapcore.Core.
func (r *relay) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	core := *r.target.Load()
	if len(r.fields) == 0 {
		return core.Check(e, ce)
	}
	return core.With(r.fields).Check(e, ce)
}

// Write implements zapcore.Core.
func (r *relay) Write(e zapcore.Entry, fields []zapcore.Field) error {
	core := *r.target.Load()
	return core.With(r.fields).Write(e, fields)
}

// Sync implements zapcore.Core.
func (r *relay) Sync() error { return (*r.target.Load()).Sync() }

// Interface guards
var _ zapcore.Core = (*relay)(nil)
