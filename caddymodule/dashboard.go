package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/caddymodule/steady"
	"github.com/tengineai/webhook-gateway/dashboard"
	"github.com/tengineai/webhook-gateway/gateway"
)

// dashboardLife is the part of a Dashboard that is not configuration.
type dashboardLife struct {
	logger    *zap.Logger
	dashboard *dashboard.Dashboard
}

// Provision finds the app and prepares the pages.
func (h *Dashboard) Provision(ctx caddy.Context) error {
	found, err := ctx.AppIfConfigured(appName)
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("webhook_dashboard needs the webhook_gateway global option: add a webhook_gateway block at the top of the Caddyfile")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", appName, err)
	}
	app := found.(*App)
	steady.Use(ctx)
	h.setDefaults()
	if err := h.check(); err != nil {
		return err
	}
	h.life.logger = ctx.Logger()
	o := dashboard.Options{
		Mount:          strings.TrimSuffix(h.Mount, "/"),
		Gateway:        app.gateway,
		ClientAddr:     clientAddr,
		Secure:         isSecure,
		FrameAncestors: h.FrameAncestors,
		Logger:         h.life.logger,
	}
	if public, err := url.Parse(h.PublicURL); err == nil {
		o.PublicHost = public.Host
	}
	if h.ProjectsFrom != "" {
		o.Identity = h.identify
	}
	if h.life.dashboard, err = dashboard.New(o); err != nil {
		return err
	}
	if h.ProjectsFrom == "" {
		app.life.dashboards.add(h)
	}
	return h.watchStopping(ctx)
}

// watchStopping ends the streams when this configuration stops, be it for
// another one or for good: the HTTP server would wait for them.
func (h *Dashboard) watchStopping(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("events app: %w", err)
	}
	return app.(*caddyevents.App).On("stopping", streamEnder{h})
}

type streamEnder struct{ dashboard *Dashboard }

// Handle implements caddyevents.Handler.
func (e streamEnder) Handle(context.Context, caddy.Event) error {
	e.dashboard.life.dashboard.Close()
	return nil
}

// Cleanup ends the streams, also of a configuration that never ran.
func (h *Dashboard) Cleanup() error {
	if h.life.dashboard != nil {
		h.life.dashboard.Close()
	}
	return nil
}

// ServeHTTP answers requests for paths under the mount; the next handler gets
// the others.
func (h *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !h.life.dashboard.Handles(r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	h.life.dashboard.ServeHTTP(w, r)
	return nil
}

// identify returns the key of a visitor whom something in front has
// authenticated.
func (h *Dashboard) identify(r *http.Request) (*gateway.Key, error) {
	key, err := keyInFront(r, h.ProjectsFrom, h.ScopesFrom)
	if err != nil {
		h.life.logger.Debug("visitor was not identified", zap.Error(err))
	}
	return key, err
}

// isSecure says whether the client came over https, as far as Caddy can know:
// behind a proxy by what trusted_proxies lets it believe.
func isSecure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// dashboards are those of a configuration on which people can sign in.
type dashboards struct {
	mu   sync.Mutex
	list []*Dashboard
}

func (ds *dashboards) add(h *Dashboard) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.list = append(ds.list, h)
}

// linkURL returns the URL of a link, for the API: on the dashboard with a
// public URL, else on the first one at the host that was asked. False: there is
// no dashboard.
func (ds *dashboards) linkURL(r *http.Request, token string) (url string, ok bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if len(ds.list) == 0 {
		return "", false
	}
	chosen := ds.list[0]
	for _, h := range ds.list {
		if h.PublicURL != "" {
			chosen = h
			break
		}
	}
	base := strings.TrimSuffix(chosen.PublicURL, "/")
	if base == "" {
		base = "http://" + r.Host
		if isSecure(r) {
			base = "https://" + r.Host
		}
	}
	return base + chosen.life.dashboard.LinkPath(token), true
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddy.CleanerUpper          = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
	_ caddyevents.Handler         = streamEnder{}
)
