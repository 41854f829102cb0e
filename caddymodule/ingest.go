package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/caddymodule/steady"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// ingestLife is the part of an Ingest that is not configuration.
type ingestLife struct {
	app *App
}

// Provision finds the app.
func (h *Ingest) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured("webhook_gateway")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("webhook_ingest needs the webhook_gateway global option: add a webhook_gateway block at the top of the Caddyfile")
	}
	if err != nil {
		return fmt.Errorf("webhook_gateway: %w", err)
	}
	h.life.app = app.(*App)
	steady.Use(ctx)
	h.setDefaults()
	if h.AuthOff {
		ctx.Logger().Warn("webhook_ingest takes events from anybody who can reach it (auth off)")
	}
	return nil
}

// ServeHTTP takes events (contract section 2). It answers every request
// itself.
func (h *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if err := h.serve(w, r); err != nil {
		h.note(r, err)
		refuse(w, r, err)
	}
	return nil
}

func (h *Ingest) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		e := problem.New(problem.MethodNotAllowed, "Events are sent with POST.")
		e.Allow = []string{http.MethodPost}
		return e
	}
	gw, err := h.life.app.gateway(r.Context())
	if err != nil {
		return err
	}
	key, err := h.authorize(gw, r)
	if err != nil {
		return err
	}
	return h.take(w, r, gw, key)
}

// take publishes the events of a request for those who have the key, or for
// everybody if it is nil.
func (h *Ingest) take(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway, key *gateway.Key) error {
	if _, loop := r.Header["X-Tengine-Delivery"]; loop {
		return problem.New(problem.Loop, "The request is a delivery of a webhook gateway. Point the webhook at a receiver instead of at this endpoint.")
	}
	form, err := formOf(r.Header)
	if err != nil {
		return err
	}
	body, err := h.read(w, r, form)
	if err != nil {
		return err
	}
	defer body.free()

	items, single, err := h.parse(gw.Settings(), form, r.Header, body.bytes())
	if single {
		if e := checkProject(key, items[0].ProjectID); e != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return problem.New(problem.Invalid, "The batch is empty: send at least one event.")
	}
	if single {
		return h.publishOne(w, r, gw, items[0].Input)
	}
	return h.publishBatch(w, r, gw, key, items)
}

// authorize returns the request's key; nil when authentication is off.
func (h *Ingest) authorize(gw *gateway.Gateway, r *http.Request) (*gateway.Key, error) {
	if h.AuthOff {
		return nil, nil
	}
	key, err := gw.AuthenticateFrom(clientAddr(r), bearerToken(r.Header))
	if err != nil {
		return nil, err
	}
	if err := gateway.RequireScope(key, gateway.ScopeIngest); err != nil {
		return nil, err
	}
	return key, nil
}

// intake returns the rules for events: those of the gateway with this
// handler's limits.
func (h *Ingest) intake(s *gateway.Settings) *webhook.Intake {
	return &webhook.Intake{
		Catalogue:      s.Catalogue,
		DefaultProject: s.DefaultProject,
		MaxSize:        int(h.MaxSize),
		MaxBatch:       h.MaxBatch,
		MaxBatchSize:   int(h.MaxBatchSize),
		Preserve:       s.PreserveUnsafe,
	}
}

// checkProject refuses a project that the key is not for, before the event is
// told what else is wrong with it (contract section 2). Of an event that is
// refused anyway the project may not be known.
func checkProject(key *gateway.Key, projectID string) *problem.Error {
	if key == nil || projectID == "" || key.Allows(projectID) {
		return nil
	}
	return problem.New(problem.ProjectNotAllowed, "The API key does not publish for the project of this event.")
}

func (h *Ingest) publishOne(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway, in webhook.Input) error {
	results, err := gw.Publish(r.Context(), []webhook.Input{in})
	if err != nil {
		return err
	}
	res := results[0]
	if res.Err != nil { // Publish has counted it
		refuse(w, r, res.Err)
		return nil //nolint:nilerr // it is answered
	}
	noteEvent(r.Context(), res.ID, in.Source)

	answer := make([]byte, 0, 96+len(res.ID))
	answer = append(answer, `{"id":"`...)
	answer = append(answer, res.ID...) // needs no escapes
	answer = append(answer, `","deliveries":`...)
	answer = strconv.AppendInt(answer, int64(res.Deliveries), 10)
	answer = append(answer, `,"duplicate":`...)
	answer = strconv.AppendBool(answer, res.Result == gateway.Duplicate)
	answer = append(answer, "}\n"...)
	respond(w, http.StatusAccepted, answer)
	return nil
}

// batchAnswer and batchResult are the answer to a batch (contract section 2).
type batchAnswer struct {
	Results []batchResult `json:"results"`
}

type batchResult struct {
	ID         string            `json:"id,omitempty"`
	Status     gateway.Result    `json:"status"`
	Deliveries int               `json:"deliveries"`
	Error      *problem.Document `json:"error,omitempty"`
}

func (h *Ingest) publishBatch(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway, key *gateway.Key, items []webhook.Item) error {
	results := make([]batchResult, len(items))
	inputs := make([]webhook.Input, 0, len(items))
	at := make([]int, 0, len(items)) // where in results each input stands
	for i, it := range items {
		e := checkProject(key, it.ProjectID)
		if e == nil {
			e = it.Err
		}
		if e != nil {
			results[i] = rejected(it.Input.ID, e)
			metrics.EventPublished(gateway.Rejected)
			continue
		}
		inputs = append(inputs, it.Input)
		at = append(at, i)
	}
	if len(inputs) > 0 {
		published, err := gw.Publish(r.Context(), inputs)
		if err != nil {
			return err
		}
		for i, res := range published {
			if res.Err != nil {
				results[at[i]] = rejected(res.ID, res.Err)
				continue
			}
			results[at[i]] = batchResult{ID: res.ID, Status: res.Result, Deliveries: res.Deliveries}
		}
	}
	answer, err := json.Marshal(batchAnswer{results})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	respond(w, batchStatus(results), append(answer, '\n'))
	return nil
}

func rejected(id string, e *problem.Error) batchResult {
	doc := e.Document()
	return batchResult{ID: id, Status: gateway.Rejected, Error: &doc}
}

// batchStatus is 202 if all events were taken, 422 if none was, else 207.
func batchStatus(results []batchResult) int {
	refused := 0
	for i := range results {
		if results[i].Status == gateway.Rejected {
			refused++
		}
	}
	switch refused {
	case 0:
		return http.StatusAccepted
	case len(results):
		return http.StatusUnprocessableEntity
	default:
		return http.StatusMultiStatus
	}
}

// note logs a request that is not answered as it should be, and counts one that
// was refused.
func (h *Ingest) note(r *http.Request, err error) {
	log := h.life.app.life.logger
	switch problem.From(err).Code {
	case problem.Internal:
		log.Error("events were not taken", zap.Error(err))
	case problem.Unavailable, problem.DiskFull:
		if r.Context().Err() == nil { // the client still waits
			log.Warn("events were not taken", zap.Error(err))
		}
	default:
		metrics.EventPublished(gateway.Rejected)
	}
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := problem.From(err)
	if e.Code == problem.Unauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="webhook gateway"`)
	}
	problem.LeaveBody(w, r)
	problem.Write(w, e)
}

// noteEvent puts the event's id into the access log, and a CloudEvent's source.
func noteEvent(ctx context.Context, eventID, source string) {
	extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok {
		return
	}
	extra.Add(zap.String("event_id", eventID))
	if source != "" {
		const most = 256 // bytes; a log is no place for the longest there are
		extra.Add(zap.String("event_source", strings.ToValidUTF8(source[:min(len(source), most)], "")))
	}
}

func respond(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the events are stored; a client that is gone asks again
}

var jsonType = []string{"application/json"}

// Interface guards
var (
	_ caddy.Provisioner           = (*Ingest)(nil)
	_ caddyhttp.MiddlewareHandler = (*Ingest)(nil)
)
