package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin adds the gateway's routes to Caddy's admin API, for operators:
//
//   - GET /webhook_gateway/status: the state of the gateway as JSON.
type Admin struct {
	app *App // nil when the configuration has no gateway
}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.webhook_gateway",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Provision finds the app. A configuration without one is no error: every
// Caddy with this module in it has these routes.
func (a *Admin) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured("webhook_gateway")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil
	}
	if err != nil {
		return err
	}
	a.app = app.(*App)
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{
		Pattern: "/webhook_gateway/status",
		Handler: caddy.AdminHandlerFunc(a.status),
	}}
}

// Status is the answer of GET /webhook_gateway/status.
type Status struct {
	// Status is "ok"; "degraded" while the disk is nearly full or after a loss
	// was found; "unavailable" when the store takes no events.
	Status string `json:"status"`

	// Problem says what is wrong; empty while Status is "ok".
	Problem string `json:"problem,omitempty"`

	// Deliveries counts deliveries by status.
	Deliveries map[webhook.Status]int64 `json:"deliveries"`

	// OldestDue is when the longest waiting delivery fell due.
	OldestDue *time.Time `json:"oldest_due,omitempty"`

	// FreeBytes is the space left for the store.
	FreeBytes int64 `json:"free_bytes"`

	// LostCommits counts acknowledged commits that were missing when the store
	// was opened.
	LostCommits uint64 `json:"lost_commits"`
}

func (a *Admin) status(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("use GET")}
	}
	if a.app == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the configuration has no webhook_gateway")}
	}
	gw, err := a.app.gateway(r.Context())
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(statusOf(gw.Stats()))
}

func statusOf(s queue.Stats) Status {
	st := Status{
		Status:      "ok",
		Deliveries:  s.Deliveries,
		FreeBytes:   s.FreeBytes,
		LostCommits: s.Lost,
	}
	if !s.OldestDue.IsZero() {
		st.OldestDue = &s.OldestDue
	}
	switch {
	case s.Err != nil:
		st.Status, st.Problem = "unavailable", s.Err.Error()
	case s.Full:
		st.Status, st.Problem = "unavailable", "the disk is nearly full: no events are taken until there is room"
	case s.Lost > 0:
		st.Status, st.Problem = "degraded", "acknowledged commits were missing when the store was opened; see the log"
	}
	return st
}

// Interface guards
var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)
