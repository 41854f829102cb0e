package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin adds the gateway's routes to Caddy's admin API, for operators:
//
//   - GET /webhook_gateway/status: the state of the gateway as JSON.
//
// Every Caddy with this module in it has these routes.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.webhook_gateway",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Routes implements caddy.AdminRouter.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{
		Pattern: "/webhook_gateway/status",
		Handler: caddy.AdminHandlerFunc(a.status),
	}}
}

// gateway returns the gateway of the configuration in force. It is looked up
// for each request, because the routes are not tied to a configuration: Caddy
// goes on with the admin server of one that it refused to start.
func (*Admin) gateway() (*gateway.Gateway, error) {
	active := caddy.ActiveContext()
	if active.Context == nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errors.New("the server is starting or stopping")}
	}
	app, err := active.AppIfConfigured(appName)
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the configuration has no webhook_gateway")}
	}
	if err != nil {
		return nil, err
	}
	gw := app.(*App).life.serving.Load()
	if gw == nil || gw.Closing() {
		return nil, caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errors.New("the gateway is stopping")}
	}
	return gw, nil
}

// Status is the answer of GET /webhook_gateway/status.
type Status struct {
	// Status is "ok"; "degraded" when events are taken but not sent, or after a
	// loss was found; "unavailable" when the store takes no events.
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
		w.Header().Set("Allow", http.MethodGet)
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("use GET")}
	}
	gw, err := a.gateway()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(statusOf(gw.Stats(), gw.SendingErr()))
}

func statusOf(s queue.Stats, sending error) Status {
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
	case sending != nil:
		st.Status, st.Problem = "degraded", sending.Error()
	case s.Lost > 0:
		st.Status, st.Problem = "degraded", "acknowledged commits were missing when the store was opened; see the log"
	}
	return st
}

// Interface guards
var _ caddy.AdminRouter = (*Admin)(nil)
