package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	jsonv2 "github.com/go-json-experiment/json"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// DefaultPrefix is where the API is mounted unless something else is said.
const DefaultPrefix = "/api/v1"

// Options are what an API needs. All fields but LinkURL are required.
type Options struct {
	// Prefix is the path under which the API is mounted: "/api/v1". It begins
	// with a slash and does not end with one.
	Prefix string

	// Gateway returns the gateway. The error is shown to the client.
	Gateway func(context.Context) (*gateway.Gateway, error)

	// Identify returns the key of whoever sent the request. The error is shown
	// to the client.
	Identify func(*gateway.Gateway, *http.Request) (*gateway.Key, error)

	// LinkURL returns the URL at which a link to the dashboard is opened, and
	// whether there is a dashboard. Nil: there is none.
	LinkURL func(r *http.Request, token string) (url string, ok bool)

	Logger *zap.Logger
}

// API is the management API. Its methods are safe for concurrent use.
type API struct {
	options  Options
	routes   *router
	document []byte // OpenAPI, JSON
}

// New returns the API.
func New(o Options) (*API, error) {
	a := &API{options: o, routes: new(router)}
	h := huma.NewAPI(humaConfig(o.Prefix), a.routes)
	a.registerWebhooks(h)
	a.registerDeliveries(h)
	a.registerReplays(h)
	a.registerEvents(h)
	a.registerFilters(h)
	a.registerLinks(h)
	a.registerGateway(h)
	describeDocument(h.OpenAPI())
	finishDocument(h.OpenAPI())
	var err error
	if a.document, err = json.Marshal(h.OpenAPI()); err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	a.routes.add(http.MethodGet, documentPath, a.serveDocument)
	return a, nil
}

// OpenAPI returns the OpenAPI 3.1 document of the API, as it is served at
// openapi.json under the prefix. The caller must not change it.
func (a *API) OpenAPI() []byte { return a.document }

// Route returns what answers the request, or nil if its path is none of the
// API: then it is for somebody else.
func (a *API) Route(r *http.Request) http.Handler {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), a.options.Prefix)
	if !ok {
		return nil
	}
	methods, values := a.routes.find(path)
	if methods == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, r, methods, values)
	})
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, methods methodTable, values []pathValue) {
	out := &answer{ResponseWriter: w}
	defer a.recover(out, r)
	out.Header().Set("Cache-Control", "no-store")
	out.Header().Set("X-Content-Type-Options", "nosniff")
	handler, ok := methods.lookup(r.Method)
	if !ok {
		e := problem.New(problem.MethodNotAllowed, "")
		e.Allow = methods.allowed()
		e.Detail = "Use " + strings.Join(e.Allow, " or ") + "."
		a.refuse(out, r, e)
		return
	}
	for _, v := range values {
		r.SetPathValue(v.name, v.value)
	}
	handler(out, r)
}

// recover answers a request whose handler panicked: a fault of ours must not
// become an aborted connection that nobody can explain.
func (a *API) recover(w *answer, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	a.options.Logger.Error("panic in the management API",
		zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Any("panic", v), zap.Stack("stack"))
	if w.begun {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
	problem.Write(w, problem.New(problem.Internal, "The request could not be handled. The server's log says why."))
}

// refuse answers with a problem.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := problem.From(err)
	switch e.Code {
	case problem.Unauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="webhook gateway"`)
	case problem.Internal:
		a.options.Logger.Error("management request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	case problem.Unavailable, problem.DiskFull:
		if r.Context().Err() == nil { // the client still waits
			a.options.Logger.Warn("management request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
		}
	default: // the client knows what to do
	}
	problem.LeaveBody(w, r)
	problem.Write(w, e)
}

func (a *API) serveDocument(w http.ResponseWriter, r *http.Request) {
	items, err := checkQuery(r.URL.RawQuery, nil)
	if err == nil {
		err = invalid(items)
	}
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.document) // the client may be gone
}

// answer notes whether an answer has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (w *answer) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// jsonFormat is how answers are written: with the members in their order, maps
// by key, and no character escaped that need not be.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		body, err := jsonv2.Marshal(v, jsonv2.Deterministic(true))
		if err != nil {
			return err
		}
		_, _ = w.Write(append(body, '\n')) // the client may be gone
		return nil
	},
	Unmarshal: func([]byte, any) error { return errors.New("bodies are decoded by decode") },
}
