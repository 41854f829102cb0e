package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin adds the gateway's routes to Caddy's admin API, for operators:
//
//   - GET /webhook_gateway/status: the state of the gateway.
//   - GET, POST /webhook_gateway/keys: lists API keys, creates one.
//   - DELETE /webhook_gateway/keys/{name}: revokes an API key.
//   - GET /webhook_gateway/backup: a backup of the store, which goes on working.
//   - POST /webhook_gateway/events: takes events as webhook_ingest does, without
//     an API key.
//
// Answers but the backup are JSON, errors problem documents. The commands "caddy
// webhook status", "key", "backup" and "send" use these routes. Who reaches the
// admin API can do anything with this Caddy, so they ask for no key. Every Caddy
// with this module in it has these routes.
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
	return []caddy.AdminRoute{
		adminRoute("/webhook_gateway/status", adminMethods{http.MethodGet: a.status}),
		adminRoute("/webhook_gateway/keys", adminMethods{http.MethodGet: a.keys, http.MethodPost: a.createKey}),
		adminRoute("/webhook_gateway/keys/{name}", adminMethods{http.MethodDelete: a.revokeKey}),
		adminRoute("/webhook_gateway/backup", adminMethods{http.MethodGet: a.backup}),
		adminRoute("/webhook_gateway/events", adminMethods{http.MethodPost: a.events}),
	}
}

// adminMethods are the methods of a route and what serves them.
type adminMethods map[string]func(http.ResponseWriter, *http.Request, *gateway.Gateway) error

// adminRoute makes a route that answers every error with a problem document.
func adminRoute(pattern string, methods adminMethods) caddy.AdminRoute {
	serve := func(w http.ResponseWriter, r *http.Request) error {
		handler, ok := methods[r.Method]
		if !ok {
			e := problem.New(problem.MethodNotAllowed, "The route has no such method.")
			e.Allow = slices.Sorted(maps.Keys(methods))
			return e
		}
		gw, err := activeGateway()
		if err != nil {
			return err
		}
		return handler(w, r, gw)
	}
	return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if err := serve(w, r); err != nil {
			if problem.From(err).Code == problem.Internal {
				caddy.Log().Named("admin.api.webhook_gateway").Error("request failed", zap.String("path", pattern), zap.Error(err))
			}
			problem.Write(w, err)
		}
		return nil
	})}
}

// adminAnswer answers with JSON. It may hold a secret: nobody keeps a copy.
func adminAnswer(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Cache-Control", "no-store")
	respond(w, status, append(text, '\n'))
	return nil
}

// activeGateway returns the gateway of the configuration in force. It is looked
// up for each request, because the routes are not tied to a configuration: Caddy
// goes on with the admin server of one that it refused to start.
func activeGateway() (*gateway.Gateway, error) {
	active := caddy.ActiveContext()
	if active.Context == nil {
		return nil, notReady("The server is starting or stopping.")
	}
	app, err := active.AppIfConfigured(appName)
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, problem.New(problem.NotFound, "The configuration of this Caddy has no webhook_gateway.")
	}
	if err != nil {
		return nil, err
	}
	gw := app.(*App).life.serving.Load()
	if gw == nil || gw.Closing() {
		return nil, notReady("The gateway is stopping.")
	}
	return gw, nil
}

// Status is the answer of GET /webhook_gateway/status.
type Status struct {
	// Status is "ok"; "degraded" when events are taken but not sent, or after
	// loss or damage was found; "unavailable" when the store takes no events.
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

	// CheckedAt is when all that is stored was last compared with its checksums;
	// absent before the first time.
	CheckedAt *time.Time `json:"checked_at,omitempty"`

	// DamagedRecords counts what did not match then.
	DamagedRecords int64 `json:"damaged_records"`

	// SecretsKeyFile is the file with the key that secrets are sealed with, which
	// a backup does not hold; absent where secrets_key is set.
	SecretsKeyFile string `json:"secrets_key_file,omitempty"`
}

func (*Admin) status(w http.ResponseWriter, _ *http.Request, gw *gateway.Gateway) error {
	st := statusOf(gw.Stats(), gw.SendingErr())
	st.SecretsKeyFile = gw.SecretsKeyFile()
	return adminAnswer(w, http.StatusOK, st)
}

func statusOf(s queue.Stats, sending error) Status {
	st := Status{
		Status:         "ok",
		Deliveries:     s.Deliveries,
		FreeBytes:      s.FreeBytes,
		LostCommits:    s.Lost,
		DamagedRecords: s.Damaged,
	}
	if !s.CheckedAt.IsZero() {
		st.CheckedAt = &s.CheckedAt
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
	case s.Damaged > 0:
		st.Status, st.Problem = "degraded", "records are damaged on disk; see the log"
	}
	return st
}

// Interface guards
var _ caddy.AdminRouter = (*Admin)(nil)
