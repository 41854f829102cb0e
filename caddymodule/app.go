package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

func init() {
	caddy.RegisterModule(&App{})
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "webhook_gateway",
		New: func() caddy.Module { return new(App) },
	}
}

// lifecycle is the part of an App that is not configuration. Caddy calls
// Provision, Start, Stop and Cleanup one after the other; any of the last
// three may be left out, and handlers may ask for the gateway at any time,
// also after Cleanup.
type lifecycle struct {
	ctx      caddy.Context
	logger   *zap.Logger
	settings *gateway.Settings
	opener   StoreOpener

	// engine is set by Start while this instance holds it in the pool.
	engine     *engine
	generation *gateway.Generation
	events     *caddyevents.App
	stopLogs   func() // ends the engine's logging to logger; nil before Start
	stopEvents func() // ends the engine's events to events; nil before Caddy's "started" event

	// serving is what handlers use; nil until Start has put the settings in
	// force. It stays after Cleanup: an old handler may still publish into an
	// engine that a newer configuration holds open, and a closed one refuses.
	serving atomic.Pointer[gateway.Gateway]

	dashboards dashboards

	ready chan struct{} // closed when serving is set
	gone  chan struct{} // closed by Cleanup
	ended sync.Once
}

// Provision prepares the configuration. It opens no store and leaves nothing
// behind: "caddy validate" runs it beside the live server.
func (a *App) Provision(ctx caddy.Context) error {
	l := &a.life
	l.ctx = ctx
	l.logger = ctx.Logger()
	l.ready = make(chan struct{})
	l.gone = make(chan struct{})

	var err error
	if l.settings, l.opener, err = a.resolve(ctx); err != nil {
		return err
	}
	if err := metrics.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return a.watchEvents(ctx)
}

// watchEvents starts draining as soon as the process begins to exit, side by
// side with the HTTP server, rather than when it is this app's turn to stop. The
// engine's events go to the events app when all apps have started: that app takes
// no events while it starts.
func (a *App) watchEvents(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("events app: %w", err)
	}
	a.life.events = app.(*caddyevents.App)
	return errors.Join(
		a.life.events.On("started", startedHandler{a}),
		a.life.events.On("stopping", stoppingHandler{a}),
	)
}

type startedHandler struct{ app *App }

// Handle implements caddyevents.Handler.
func (h startedHandler) Handle(_ context.Context, e caddy.Event) error {
	if l := &h.app.life; e.Origin() == nil { // of Caddy itself
		l.stopEvents = l.engine.events.add(l.ctx, l.events)
	}
	return nil
}

type stoppingHandler struct{ app *App }

// Handle implements caddyevents.Handler. Caddy waits for it, so it only starts
// the work.
func (h stoppingHandler) Handle(context.Context, caddy.Event) error {
	if e := h.app.life.engine; e != nil && caddy.Exiting() {
		e.gateway.StopIntake()
		go h.app.drain(e)
	}
	return nil
}

func (a *App) drain(e *engine) {
	defer func() {
		if r := recover(); r != nil {
			a.life.logger.Error("panic while stopping", zap.Any("panic", r), zap.Stack("stack"))
		}
	}()
	_ = e.close() // Cleanup waits for it and tells its error
}

// Start opens the store, unless an older configuration has it open, and puts
// the settings in force. When the process exits it refuses: Caddy may load a
// configuration that waited for its turn even after everything was stopped, and
// would then exit without stopping it.
func (a *App) Start() error {
	if caddy.Exiting() {
		return errors.New("the process is exiting")
	}
	l := &a.life
	e, err := openEngine(l.ctx, l.opener, l.logger)
	if err != nil {
		return err
	}
	l.engine = e
	l.generation, err = e.gateway.Apply(l.ctx, l.settings)
	if err != nil {
		return fmt.Errorf("apply settings: %w", err)
	}
	l.stopLogs = e.logs.add(l.logger.Core())
	l.serving.Store(e.gateway)
	close(l.ready)
	l.logger.Info("webhook gateway is ready",
		zap.Int("static_webhooks", len(l.settings.Static)),
		zap.Int("pending_deliveries", e.gateway.Pending()))
	return nil
}

// Stop returns at once. On a reload the engine goes on under the new
// configuration. When the process exits the engine has been draining since
// Caddy's "stopping" event, and Cleanup waits for its end: Caddy stops one app
// after the other, so waiting here could keep the HTTP server from stopping
// meanwhile.
func (a *App) Stop() error { return nil }

// Cleanup gives back what Start took. Whoever is the last to do so waits until
// the attempts in flight have ended or were cut short, and the store is closed.
// Caddy calls it also when Provision or Start has failed, and when Stop was
// never called.
func (a *App) Cleanup() error {
	l := &a.life
	var errs []error
	l.ended.Do(func() {
		if l.gone != nil {
			close(l.gone)
		}
		switch {
		case l.generation != nil:
			l.engine.gateway.Withdraw(l.generation)
		case l.settings != nil:
			l.settings.Egress.Close()
		}
		if l.stopLogs != nil {
			l.stopLogs()
		}
		if l.engine != nil {
			errs = append(errs, releaseEngine(l.engine))
			l.engine = nil
		}
		if l.stopEvents != nil {
			l.stopEvents() // after the last ones were emitted
		}
	})
	return errors.Join(errs...)
}

// gateway returns the gateway, waiting for Start if need be: the HTTP server
// may serve before this app was started. The error can be shown to the client.
func (a *App) gateway(ctx context.Context) (*gateway.Gateway, error) {
	if g := a.life.serving.Load(); g != nil {
		return g, nil
	}
	select {
	case <-a.life.ready:
		return a.life.serving.Load(), nil
	case <-a.life.gone:
		return nil, notReady("This configuration was never put in force. Send the request again.")
	case <-ctx.Done():
		return nil, notReady("The gateway is starting. Send the request again.")
	}
}

func notReady(detail string) error {
	return problem.Later(problem.Unavailable, detail, time.Second)
}

// Interface guards
var (
	_ caddy.App           = (*App)(nil)
	_ caddy.Provisioner   = (*App)(nil)
	_ caddy.CleanerUpper  = (*App)(nil)
	_ caddyevents.Handler = startedHandler{}
	_ caddyevents.Handler = stoppingHandler{}
)
