// Package problem holds the errors that users see: the closed list of error
// codes and the RFC 9457 documents that carry them. Every HTTP error of the
// gateway is written here, so that all of them look alike.
//
// What went wrong belongs to the package that found it; how it is told belongs
// here. A problem never repeats a refused value: it may be a secret.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TypeBase precedes a code in the "type" member of a problem document. The
// pages behind it are docs/problems.md.
const TypeBase = "https://github.com/tengineai/webhook-gateway/problems/"

// Item is one of possibly several things wrong with a request.
type Item struct {
	// Code is one of the item codes of this package.
	Code Code `json:"code"`

	// Detail says in one sentence what is wrong and what would be right.
	Detail string `json:"detail"`

	// Pointer is a JSON pointer in URI fragment form (RFC 6901 section 6) to
	// the member the item is about: "#/data/n". Empty when the item is not
	// about a member.
	Pointer string `json:"pointer,omitempty"`

	// Parameter names the query parameter the item is about.
	Parameter string `json:"parameter,omitempty"`

	// Line and Column, both from 1, locate an error in a text: in a filter,
	// or in an NDJSON request (Line only). Zero when they do not apply.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`

	// Offset is the byte, from 0, at which a syntax error was met. Nil when it
	// does not apply.
	Offset *int64 `json:"offset,omitempty"`
}

// Error is an error made to be shown to whoever sent the request.
// The zero value is not useful; Code is required.
type Error struct {
	// Code is one of the request codes of this package; it sets status and title.
	Code Code

	// Detail says in one sentence what went wrong and what to do about it.
	Detail string

	// Items lists every problem of the request, where there can be several.
	Items []Item

	// RetryAfter, when positive, is sent as a Retry-After header in whole
	// seconds, rounded up.
	RetryAfter time.Duration

	// Allow lists the methods for a MethodNotAllowed error.
	Allow []string
}

// New returns an error with the given code, detail and items.
func New(code Code, detail string, items ...Item) *Error {
	return &Error{Code: code, Detail: detail, Items: items}
}

// Later is New for a client that is to come back after a time.
func Later(code Code, detail string, after time.Duration) *Error {
	return &Error{Code: code, Detail: detail, RetryAfter: after}
}

// Error implements error. The text is for logs; it holds no refused value.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	for i, it := range e.Items {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		if it.Pointer != "" {
			b.WriteString(it.Pointer)
			b.WriteString(": ")
		}
		b.WriteString(it.Detail)
	}
	return b.String()
}

// Document is the body of an error answer (RFC 9457 section 3).
type Document struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   Code   `json:"code"`
	Errors []Item `json:"errors,omitempty"`
}

// The bounds of a document. Without them a request could have an answer made that
// is many times as large as itself.
const (
	maxItems   = 100  // that are listed
	maxPointer = 1024 // bytes
)

// Document returns e as the document that is sent. It lists the first items and
// says how many there are. A pointer that is very long is cut to that of an object
// or array that holds what it is about.
func (e *Error) Document() Document {
	info := codes[e.Code]
	d := Document{
		Type:   TypeBase + string(e.Code),
		Title:  info.title,
		Status: info.status,
		Detail: e.Detail,
		Code:   e.Code,
		Errors: slices.Clone(e.Items[:min(len(e.Items), maxItems)]),
	}
	if len(e.Items) > maxItems {
		d.Detail = strings.TrimSpace(fmt.Sprintf("%s Of %d problems the first %d are listed.", d.Detail, len(e.Items), maxItems))
	}
	for i := range d.Errors {
		d.Errors[i].Pointer = cutPointer(d.Errors[i].Pointer)
	}
	return d
}

func cutPointer(pointer string) string {
	if len(pointer) <= maxPointer {
		return pointer
	}
	return pointer[:max(0, strings.LastIndexByte(pointer[:maxPointer+1], '/'))]
}

// Status returns the HTTP status of e.
func (e *Error) Status() int { return codes[e.Code].status }

// From returns err as an Error: itself if it is one (or wraps one) with a request
// code, else an Internal error that tells the client nothing about err.
func From(err error) *Error {
	if pe, ok := errors.AsType[*Error](err); ok && codes[pe.Code].status != 0 {
		return pe
	}
	return New(Internal, "The request could not be handled. The server's log says why.")
}

// Write sends err as application/problem+json. Headers that were set before
// stay; the body of an error to a HEAD request is dropped by net/http.
func Write(w http.ResponseWriter, err error) {
	e := From(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if len(e.Allow) > 0 {
		h.Set("Allow", strings.Join(e.Allow, ", "))
	}
	body, mErr := json.Marshal(e.Document())
	if mErr != nil { // strings and ints only: cannot happen
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(e.Status())
	_, _ = w.Write(append(body, '\n')) // the client may be gone; nobody is left to tell
}
