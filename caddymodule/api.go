package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/api"
	"github.com/tengineai/webhook-gateway/caddymodule/steady"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// apiLife is the part of an API that is not configuration.
type apiLife struct {
	logger *zap.Logger
	api    *api.API
}

// Provision finds the app and builds the routes.
func (h *API) Provision(ctx caddy.Context) error {
	found, err := ctx.AppIfConfigured(appName)
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("webhook_api needs the webhook_gateway global option: add a webhook_gateway block at the top of the Caddyfile")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", appName, err)
	}
	app := found.(*App)
	steady.Use(ctx)
	h.setDefaults()
	h.life.logger = ctx.Logger()
	h.life.api, err = api.New(api.Options{
		Prefix:   strings.TrimSuffix(h.PathPrefix, "/"),
		Gateway:  app.gateway,
		Identify: h.identify,
		LinkURL:  app.life.dashboards.linkURL,
		Logger:   h.life.logger,
	})
	return err
}

// ServeHTTP answers requests for the paths of the API; the next handler gets
// the others.
func (h *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	handler := h.life.api.Route(r)
	if handler == nil {
		return next.ServeHTTP(w, r)
	}
	handler.ServeHTTP(w, r)
	return nil
}

// identify returns the key of a request's client.
func (h *API) identify(gw *gateway.Gateway, r *http.Request) (*gateway.Key, error) {
	if h.ProjectsFrom == "" {
		return gw.AuthenticateFrom(clientAddr(r), bearerToken(r.Header))
	}
	key, err := keyInFront(r, h.ProjectsFrom, h.ScopesFrom)
	if err != nil {
		h.life.logger.Debug("client was not identified", zap.Error(err))
		return nil, err
	}
	if forged(r) {
		return nil, problem.New(problem.CrossOrigin, "A page of another site may not ask for changes. Send the header Content-Type: application/json if you are one that may.")
	}
	return key, nil
}

var crossOrigin = http.NewCrossOriginProtection()

// forged says whether a page of another site can have made a browser send the
// request, without asking the server first as for JSON: what authenticates in
// front of the gateway may do so by a cookie. An API key no page can send that
// does not know it.
func forged(r *http.Request) bool {
	mediaType := strings.ToLower(r.Header.Get("Content-Type"))
	return !strings.HasPrefix(mediaType, "application/json") && crossOrigin.Check(r) != nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*API)(nil)
	_ caddyhttp.MiddlewareHandler = (*API)(nil)
)
