package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// operation describes one call of the API. B is the type of its body, noBody
// if it takes none.
type operation[B any] struct {
	id, method, path     string
	summary, description string

	// scope is what the key must have. Empty: no key is needed.
	scope gateway.Scope

	status   int  // of success; 200 if zero
	optional bool // whether the body may be left out
	also     also // another status with the same answer, if there is one

	// errors are statuses of failure beside those that calls with its traits
	// have (documented).
	errors []int

	// exists returns an error if what the path names is not there for the
	// client. It is asked only before something else is told to be wrong with
	// the request: nobody is to learn anything about what is not theirs.
	exists func(*call) error

	// check returns what else is wrong with a body beside what was found in it
	// and in the query; the gateway judges only requests without such a problem.
	check func(*call, *B) []problem.Item

	// page reads a page of a list; nil if the operation has no cursor. It is
	// asked to judge the cursor of a query that has another problem.
	page func(*call, gateway.Page) error

	request, response any // examples for the documentation; nil: none
}

// also is another status that an operation can have.
type also struct {
	status  int
	meaning string
}

// noBody is for operations without a body, and the empty object that some clients
// send in its place.
type noBody struct{}

// call is one request of an operation.
type call struct {
	context.Context
	r    *http.Request
	gw   *gateway.Gateway
	by   *gateway.Key // nil where no key is needed
	body any          // a *B
	err  error        // what to answer instead of the output
}

type callKey struct{}

// path returns a value of the path.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// asReader returns the client's key with the scope to read: whether a thing is
// there also shows in the answers to those who may only change it.
func (c *call) asReader() *gateway.Key {
	if c.by.Has(gateway.ScopeRead) {
		return c.by
	}
	reader := *c.by
	reader.Scopes = []gateway.Scope{gateway.ScopeRead}
	return &reader
}

// register adds an operation. run gets the parameters of the path and the query
// in an I and gives the answer in an O, as huma.Register says.
func register[I, B, O any](a *API, h huma.API, op operation[B], run func(*call, *I, *B) (*O, error)) {
	doc := op.document(h.OpenAPI())
	doc.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		c := &call{Context: r.Context(), r: r}
		if c.err = op.judge(a, c, ctx.Operation(), w); c.err == nil {
			next(withCall(ctx, c))
		}
		if c.err != nil {
			a.refuse(w, r, c.err)
		}
	}}
	huma.Register(h, doc, func(ctx context.Context, in *I) (*O, error) {
		c := ctx.Value(callKey{}).(*call)
		var out *O
		out, c.err = run(c, in, c.body.(*B))
		if c.err != nil {
			return nil, nil //nolint:nilerr // the middleware answers
		}
		return out, nil
	})
	op.describe(h.OpenAPI())
}

// judge finds out whether a request may be run, in the order of the contract:
// 401, 403, 404, then what is wrong with the request itself.
func (op *operation[B]) judge(a *API, c *call, doc *huma.Operation, w http.ResponseWriter) error {
	var err error
	if c.gw, err = a.options.Gateway(c); err != nil && op.scope != "" {
		return err
	}
	if op.scope != "" {
		if c.by, err = a.options.Identify(c.gw, c.r); err != nil {
			return err
		}
		if err := gateway.RequireScope(c.by, op.scope); err != nil {
			return err
		}
	}
	if err := op.read(c, doc, w); err != nil {
		if op.exists != nil {
			if missing := op.exists(c); missing != nil {
				return missing
			}
		}
		return err
	}
	return nil
}

// read reads query and body.
func (op *operation[B]) read(c *call, doc *huma.Operation, w http.ResponseWriter) error {
	body := new(B)
	c.body = body
	items, err := checkQuery(c.r.URL.RawQuery, doc.Parameters)
	if err != nil {
		return err
	}
	if len(items) > 0 && op.page != nil {
		items = append(items, op.wrongCursor(c, items)...)
	}
	if !op.readsBody() {
		return invalid(items)
	}
	text, err := readBody(w, c.r, op.optional || !op.takesBody())
	if err != nil {
		return err
	}
	if text != nil {
		preserve := c.gw.Settings() != nil && c.gw.Settings().PreserveUnsafe
		wrong, err := decode(text, body, preserve)
		if err != nil {
			return err
		}
		items = append(items, wrong...)
	}
	if len(items) > 0 && op.check != nil {
		items = append(items, notTold(op.check(c, body), items)...)
	}
	return invalid(items)
}

// wrongCursor judges the cursor of a query that has other problems.
func (op *operation[B]) wrongCursor(c *call, told []problem.Item) []problem.Item {
	p := gateway.Page{Cursor: c.r.URL.Query().Get("cursor"), Limit: 1}
	if p.Cursor == "" {
		return nil
	}
	var err error = gateway.BadCursor() // of a list that cannot be
	if !slices.ContainsFunc(told, func(it problem.Item) bool { return it.Code != problem.UnknownParam && it.Parameter != "limit" }) {
		err = op.page(c, p)
	}
	if err == nil {
		return nil
	}
	return notTold(problem.From(err).Items, told)
}

func (op *operation[B]) takesBody() bool {
	_, none := any((*B)(nil)).(*noBody)
	return !none
}

// readsBody says whether a body is judged. Who sends one with a POST that takes
// none means something by it; with GET and DELETE it has no meaning (RFC 9110
// section 9.3).
func (op *operation[B]) readsBody() bool { return op.takesBody() || op.method == http.MethodPost }

// invalid returns the problem of a request with the given items; nil without.
func invalid(items []problem.Item) error {
	if len(items) == 0 {
		return nil
	}
	return problem.New(problem.Invalid, "The request breaks a rule; errors says where.", items...)
}

// withCall hands a call to the handler that huma wraps. Where that has an error
// to tell, huma writes nothing.
func withCall(ctx huma.Context, c *call) huma.Context {
	return callContext{humaContext: huma.WithValue(ctx, callKey{}, c), c: c}
}

type humaContext huma.Context // huma.Context has a method Context

type callContext struct {
	humaContext
	c *call
}

func (ctx callContext) SetStatus(status int) {
	if ctx.c.err == nil {
		ctx.humaContext.SetStatus(status)
	}
}

// Header keeps Accept from huma: every answer is JSON, and there are values that
// huma's negotiation panics on.
func (ctx callContext) Header(name string) string {
	if name == "Accept" {
		return ""
	}
	return ctx.humaContext.Header(name)
}
