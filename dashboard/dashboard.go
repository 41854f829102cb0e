package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// Options are what a Dashboard needs. Fields are required unless they say
// otherwise.
type Options struct {
	// Mount is the path that the pages are under, without a slash at its end:
	// "/webhooks". Empty: the root.
	Mount string

	// Gateway returns the gateway; its error can be shown to the client.
	Gateway func(context.Context) (*gateway.Gateway, error)

	// ClientAddr returns the address of the client, for the limit of failed
	// sign-ins.
	ClientAddr func(*http.Request) netip.Addr

	// Secure says whether the client came over https.
	Secure func(*http.Request) bool

	// Identity returns whom something in front has authenticated; its error can
	// be shown to the client. Nil: visitors sign in and have sessions.
	Identity func(*http.Request) (*gateway.Key, error)

	// PublicHost is the host, with the port if need be, that browsers know the
	// pages by, where a proxy in front sends another one. Optional.
	PublicHost string

	// FrameAncestors are the origins that may show the pages in a frame. None:
	// nobody may.
	FrameAncestors []string

	Logger *zap.Logger
}

// Dashboard is an HTTP handler. Close ends its streams.
type Dashboard struct {
	o      Options
	csp    string
	pages  pages
	mux    *http.ServeMux
	assets map[string]asset

	closing   chan struct{}
	closeOnce sync.Once
	streams   streams
}

const (
	maxBody     = 1 << 20
	maxOpenBody = 64 << 10 // of those who are not known
)

// New returns a dashboard.
func New(o Options) (*Dashboard, error) {
	if err := CheckMount(o.Mount); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	for _, origin := range o.FrameAncestors {
		if err := CheckFrameAncestor(origin); err != nil {
			return nil, fmt.Errorf("frame_ancestors: %w", err)
		}
	}
	d := &Dashboard{
		o:       o,
		csp:     policy(o.FrameAncestors),
		mux:     http.NewServeMux(),
		closing: make(chan struct{}),
	}
	d.assets = loadAssets()
	var err error
	if d.pages, err = parsePages(d); err != nil {
		return nil, fmt.Errorf("parse templates: %w", err)
	}
	d.routes()
	return d, nil
}

// Close ends the streams that are open and refuses new ones. Pages are served
// as before.
func (d *Dashboard) Close() { d.closeOnce.Do(func() { close(d.closing) }) }

// Handles says whether a path is under the mount.
func (d *Dashboard) Handles(path string) bool {
	rest, ok := strings.CutPrefix(path, d.o.Mount)
	return ok && (rest == "" || rest[0] == '/')
}

// ServeHTTP answers requests to paths that it Handles.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", d.csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.URL.Path == d.o.Mount { // so that "" and "/" are one page
		r2 := *r
		u := *r.URL
		u.Path, u.RawPath = d.o.Mount+"/", ""
		r2.URL = &u
		r = &r2
	}
	d.mux.ServeHTTP(w, r)
}

// LinkPath returns the path of a link, under the host that serves the
// dashboard.
func (d *Dashboard) LinkPath(token string) string {
	return d.o.Mount + "/open?link=" + url.QueryEscape(token)
}

var mountForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

// CheckMount says whether a path can be a mount.
func CheckMount(path string) error {
	if !mountForm.MatchString(path) || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") {
		return errors.New(`a mount is a path of letters, digits and "._~-" that begins with a slash and does not end with one, like /webhooks`)
	}
	return nil
}

// CheckFrameAncestor says whether a text is an origin that may be allowed to
// show the pages in a frame.
func CheckFrameAncestor(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.Path != "", u.RawQuery != "", u.Fragment != "", strings.ContainsAny(origin, " \t;,'\"#?"),
		u.Scheme != "https" && u.Scheme != "http":
		return errors.New("an origin has the form https://app.example.com, with a port if need be and without a path")
	}
	return nil
}

// policy returns the content security policy (contract section 3b).
func policy(ancestors []string) string {
	allowed := "'none'"
	if len(ancestors) > 0 {
		allowed = strings.Join(ancestors, " ")
	}
	return "default-src 'self'; frame-ancestors " + allowed
}

// visit is a request of somebody who is known.
type visit struct {
	d       *Dashboard
	w       http.ResponseWriter
	r       *http.Request
	gw      *gateway.Gateway
	by      *gateway.Key
	session bool // signed in here, so that one can sign out
	link    bool // by a link
}

// ctx returns the context of the request.
func (v *visit) ctx() context.Context { return v.r.Context() }

// form returns a field of the query or of the body.
func (v *visit) form(name string) string { return v.r.Form.Get(name) }

// manages says whether the visitor may change things.
func (v *visit) manages() bool { return v.by.Has(gateway.ScopeManage) }

// operates says whether the visitor is for all projects.
func (v *visit) operates() bool { return len(v.by.Projects) == 0 }

// handler answers a request of somebody who is known. Its error is shown.
type handler func(*visit) error

// route registers what a path of the mount does.
func (d *Dashboard) route(path string, get, post handler) {
	d.mux.HandleFunc(d.o.Mount+path, func(w http.ResponseWriter, r *http.Request) {
		h := d.methods(w, r, get, post)
		if h == nil || !d.native(w, r) {
			return
		}
		v, err := d.identify(w, r) // before the body is read
		if err != nil {
			d.unknown(w, r, err)
			return
		}
		if d.readForm(w, r, maxBody) != nil {
			return
		}
		if err := h(v); err != nil {
			d.fail(w, r, v, err)
		}
	})
}

// open registers a path that needs no identity.
func (d *Dashboard) open(path string, get, post handler) {
	d.mux.HandleFunc(d.o.Mount+path, func(w http.ResponseWriter, r *http.Request) {
		h := d.methods(w, r, get, post)
		if h == nil || !d.native(w, r) || d.readForm(w, r, maxOpenBody) != nil {
			return
		}
		gw, err := d.o.Gateway(r.Context())
		if err == nil {
			err = h(&visit{d: d, w: w, r: r, gw: gw})
		}
		if err != nil {
			d.fail(w, r, nil, err)
		}
	})
}

// methods returns the handler of a request's method; nil if it was answered.
func (d *Dashboard) methods(w http.ResponseWriter, r *http.Request, get, post handler) handler {
	var allow []string
	if get != nil {
		allow = append(allow, http.MethodGet, http.MethodHead)
	}
	if post != nil {
		allow = append(allow, http.MethodPost)
	}
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if get != nil {
			return get
		}
	case r.Method == http.MethodPost && post != nil:
		return post
	}
	e := problem.New(problem.MethodNotAllowed, "This page does not take the method "+safeMethod(r.Method)+".")
	e.Allow = allow
	d.fail(w, r, nil, e)
	return nil
}

func safeMethod(method string) string {
	if len(method) > 10 || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return "of the request"
	}
	return method
}

// native refuses state changes that come from other sites. False: the request
// was answered.
func (d *Dashboard) native(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Cache-Control", "no-store")
	if d.foreign(r) {
		d.fail(w, r, nil, errForeign)
		return false
	}
	return true
}

// readForm reads the query and a form. On an error the request was answered.
func (d *Dashboard) readForm(w http.ResponseWriter, r *http.Request, limit int64) error {
	body := r.Body
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, body, limit)
	}
	err := r.ParseForm()
	r.Body = body
	if err != nil {
		d.fail(w, r, nil, badForm(err))
	}
	return err
}

// badForm tells why a form could not be read.
func badForm(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return problem.New(problem.TooLarge, "The form is too large.")
	}
	return problem.New(problem.BadRequest, "The form could not be read.")
}

var errForeign = problem.New(problem.CrossOrigin, "Open this page here and try again.")

// redirect sends the browser to a path of the mount, as a GET.
func (v *visit) redirect(path string) error {
	target := v.d.o.Mount + path
	if v.r.Header.Get("HX-Request") == "true" {
		v.w.Header().Set("HX-Redirect", target)
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}
