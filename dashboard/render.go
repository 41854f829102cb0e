package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates by name: "login" is templates/page/login.html within
// the layout.
type pages map[string]*template.Template

func parsePages(d *Dashboard) (pages, error) {
	base, err := template.New("").Funcs(d.functions()).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templateFiles, "templates/page/*.html")
	if err != nil {
		return nil, err
	}
	all := make(pages, len(files))
	for _, file := range files {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := t.ParseFS(templateFiles, file); err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(path.Base(file), ".html")] = t
	}
	return all, nil
}

// view is what every template is given.
type view struct {
	Title   string
	Section string // which entry of the navigation is current
	Project string // the project that the page is about; may be empty
	Who     *who   // nil: nobody is signed in
	Done    string // what was just done
	Page    any    // of the page itself
}

// who is the visitor.
type who struct {
	Name     string
	Manages  bool
	Operates bool // sees all projects
	Several  bool // sees more than one
	SignOut  bool
}

func (v *visit) who() *who {
	if v.by == nil {
		return nil
	}
	return &who{
		Name: v.by.Name, Manages: v.manages(), Operates: v.operates(),
		Several: len(v.by.Projects) != 1, SignOut: v.session,
	}
}

// place says where in the dashboard a page is.
type place struct{ section, project string }

// render writes a page that has no place.
func (v *visit) render(status int, name, title string, page any) error {
	return v.renderAt(place{}, status, name, title, page)
}

// renderAt writes a page. Nothing is sent before it is complete.
func (v *visit) renderAt(at place, status int, name, title string, page any) error {
	return v.execute(status, name, "layout", view{
		Title: title, Section: at.section, Project: at.project,
		Who: v.who(), Done: done[v.r.URL.Query().Get("done")], Page: page,
	})
}

// fragment writes a part of a page for htmx.
func (v *visit) fragment(name, part string, page any) error {
	return v.execute(http.StatusOK, name, part, view{Who: v.who(), Page: page})
}

func (v *visit) execute(status int, name, part string, data view) error {
	var b bytes.Buffer
	if err := v.d.pages[name].ExecuteTemplate(&b, part, data); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // the browser may be gone
	return nil
}

// done says what was done before a redirect. The query parameter is a key of
// this list, so that no link can put words into our mouth.
var done = map[string]string{
	"changed":   "The webhook was changed.",
	"paused":    "The webhook is paused. What falls due is held until you resume it.",
	"active":    "The webhook is active.",
	"disabled":  "The webhook is disabled. Its deliveries are skipped and can be replayed.",
	"deleted":   "The webhook was deleted.",
	"retried":   "One attempt is being made now. Reload in a moment to see its outcome.",
	"cancelled": "The replay was cancelled. What it had queued is still sent.",
}

// errorPage is what a page that tells an error shows.
type errorPage struct {
	Status int
	Detail string
	Items  []problem.Item
}

// fail answers with an error: a page for browsers, a problem document for
// everything else.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	e := problem.From(err)
	problem.LeaveBody(w, r)
	if e.Code == problem.Internal {
		d.o.Logger.Error("page could not be shown", zap.String("path", r.URL.Path), zap.Error(err))
	}
	w.Header().Set("Cache-Control", "no-store")
	if !wantsHTML(r) {
		problem.Write(w, e)
		return
	}
	if v == nil {
		v = &visit{d: d, w: w, r: r}
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(e.RetryAfter))
	}
	if len(e.Allow) > 0 {
		w.Header().Set("Allow", strings.Join(e.Allow, ", "))
	}
	doc := e.Document()
	if isFragment(r) { // htmx shows it where the answer would have been
		_ = v.execute(http.StatusOK, "error", "error-fragment", view{Page: errorPage{Status: doc.Status, Detail: e.Detail, Items: e.Items}})
		return
	}
	if err := v.render(doc.Status, "error", doc.Title, errorPage{Status: doc.Status, Detail: e.Detail, Items: e.Items}); err != nil {
		problem.Write(w, err)
	}
}

// wantsHTML says whether the client is a browser that shows pages.
func wantsHTML(r *http.Request) bool {
	return isFragment(r) || strings.Contains(r.Header.Get("Accept"), "text/html")
}

func retryAfter(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }

// functions are what templates can call. They only display.
func (d *Dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"path":     func(parts ...string) string { return d.o.Mount + strings.Join(parts, "") },
		"asset":    d.assetPath,
		"time":     newStamp,
		"visible":  visibleText,
		"duration": durationWords,
		"outcome":  attemptWords,
		"status":   func(s any) string { return statusWords(webhook.Status(fmt.Sprint(s))) },
		"state":    stateWords,
		"result":   resultWords,
		"reason":   reasonWords,
		"count":    countText,
		"bytes":    bytesText,
		"bar":      newBar,
		"size":     sizeText,
		"masked":   func() string { return gateway.Masked },
	}
}
