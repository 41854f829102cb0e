package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// router finds handlers by path and method. http.ServeMux does not serve here:
// it answers by itself with redirects and texts where a path is not exactly one
// of its own, and what is not ours belongs to the host application.
//
// It is immutable once the API was made.
type router struct{ paths []pathEntry }

type pathEntry struct {
	segments []string // "{name}" stands for any that is not empty
	methods  methodTable
}

type methodTable map[string]http.HandlerFunc

type pathValue struct{ name, value string }

func (t *router) add(method, path string, h http.HandlerFunc) {
	segments := strings.Split(path, "/")
	i := slices.IndexFunc(t.paths, func(e pathEntry) bool { return slices.Equal(e.segments, segments) })
	if i < 0 {
		i = len(t.paths)
		t.paths = append(t.paths, pathEntry{segments, make(methodTable)})
	}
	t.paths[i].methods[method] = h
}

// find returns the methods of an escaped path below the prefix and the values
// in it; nil if the path is none of the API.
func (t *router) find(path string) (methodTable, []pathValue) {
	segments := strings.Split(path, "/")
	for _, e := range t.paths {
		if values, ok := e.match(segments); ok {
			return e.methods, values
		}
	}
	return nil, nil
}

func (e *pathEntry) match(segments []string) ([]pathValue, bool) {
	if len(segments) != len(e.segments) {
		return nil, false
	}
	var values []pathValue
	for i, want := range e.segments {
		text, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, false
		}
		name, isValue := strings.CutPrefix(want, "{")
		switch {
		case !isValue && text != want, isValue && text == "":
			return nil, false
		case isValue:
			values = append(values, pathValue{strings.TrimSuffix(name, "}"), text})
		}
	}
	return values, true
}

// lookup returns the handler of a method. HEAD is answered as GET; net/http
// drops the body.
func (m methodTable) lookup(method string) (http.HandlerFunc, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := m[method]
	return h, ok
}

func (m methodTable) allowed() []string {
	list := slices.Collect(maps.Keys(m))
	if slices.Contains(list, http.MethodGet) {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return list
}

// Handle implements huma.Adapter.
func (t *router) Handle(op *huma.Operation, handler func(huma.Context)) {
	t.add(op.Method, op.Path, func(w http.ResponseWriter, r *http.Request) {
		handler(humago.NewContext(op, r, w))
	})
}

// ServeHTTP implements huma.Adapter. API.Route does its work.
func (t *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// Interface guards
var _ huma.Adapter = (*router)(nil)
