package caddymodule

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
)

// bus passes operational events on to Caddy's event bus, to the events app of
// the newest configuration that shares the engine. It has a goroutine of its own,
// because handlers of events take as long as they like.
type bus struct {
	log     *zap.Logger
	queue   chan gateway.Announcement
	begun   chan struct{} // closed by the first add; until then everything waits
	closing chan struct{}
	ended   chan struct{}
	dropped atomic.Int64

	mu    sync.Mutex
	live  []*emitter // oldest first
	begin sync.Once
}

// emitter is the events app of one configuration.
type emitter struct {
	ctx caddy.Context
	app *caddyevents.App
}

const (
	busQueue = 256 // announcements that wait; more are dropped

	// busDrain is how long handlers may take for what is left when the process
	// exits.
	busDrain = 250 * time.Millisecond
)

func newBus(log *zap.Logger) *bus {
	b := &bus{
		log:     log,
		queue:   make(chan gateway.Announcement, busQueue),
		begun:   make(chan struct{}),
		closing: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	go b.run()
	return b
}

// add makes ctx and app the ones that events are emitted by. When remove is
// called, the newest of the others are.
func (b *bus) add(ctx caddy.Context, app *caddyevents.App) (remove func()) {
	e := &emitter{ctx: ctx, app: app}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = append(b.live, e)
	b.begin.Do(func() { close(b.begun) })
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.live = slices.DeleteFunc(b.live, func(other *emitter) bool { return other == e })
	}
}

// announce has an event emitted. It never blocks.
func (b *bus) announce(a gateway.Announcement) {
	select {
	case b.queue <- a:
	default:
		b.dropped.Add(1)
	}
}

// close emits what waits, for busDrain at most. Announce nothing afterwards.
func (b *bus) close() {
	close(b.closing)
	select {
	case <-b.ended:
	case <-time.After(busDrain):
		b.log.Warn("handlers of webhook_gateway events take too long; not waiting for them")
	}
}

func (b *bus) run() {
	defer close(b.ended)
	select {
	case <-b.begun:
	case <-b.closing:
	}
	for {
		select {
		case a := <-b.queue:
			b.emit(a)
			continue
		case <-b.closing:
		}
		for {
			select {
			case a := <-b.queue:
				b.emit(a)
			default:
				return
			}
		}
	}
}

func (b *bus) emit(a gateway.Announcement) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("panic in a handler of an event",
				zap.String("event", a.Type), zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	if n := b.dropped.Swap(0); n > 0 {
		b.log.Warn("events were not emitted, their handlers are too slow", zap.Int64("events", n))
	}
	b.mu.Lock()
	var e *emitter
	if n := len(b.live); n > 0 {
		e = b.live[n-1]
	}
	b.mu.Unlock()
	if e == nil {
		return
	}
	for _, name := range eventNames(a.Type) {
		data := make(map[string]any, len(a.Data)+1) // handlers may keep it
		maps.Copy(data, a.Data)
		data["type"] = a.Type
		e.app.Emit(e.ctx, name, data)
	}
}

// eventNames returns the names of an operational event on Caddy's bus:
// webhook.delivery_failed is webhook_gateway.delivery_failed there, and
// webhook.disabled is webhook_gateway.webhook_disabled. The type as it is, after
// the module's name, works as well.
func eventNames(kind string) []string {
	_, short, _ := strings.Cut(kind, ".")
	if short == "disabled" {
		short = "webhook_disabled"
	}
	return []string{appName + "." + short, appName + "." + kind}
}
