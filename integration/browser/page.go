package browser

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

// Visitor says with what browser somebody comes.
type Visitor struct {
	// NoScript switches JavaScript off.
	NoScript bool

	// Dark asks for a dark page.
	Dark bool

	// Width is that of the window, in CSS pixels. Default: Wide.
	Width int
}

// Widths of windows.
const (
	Narrow = 390 // a telephone
	Wide   = 1280
)

// Page is a page of a browser that nobody else uses. Its methods fail the test
// when they cannot do what they say; they wait until they can. They are for one
// goroutine.
type Page struct {
	t        testing.TB
	id       int
	expected []string
}

// Open opens an empty page. The test's end closes it, and fails the test if the
// page complained of something. Times are shown in Asia/Kolkata, UTC+05:30.
func Open(t testing.TB, v Visitor) *Page {
	t.Helper()
	shared.ready(t)
	if v.Width == 0 {
		v.Width = Wide
	}
	p := &Page{t: t, id: shared.newPage()}
	p.ask("open", map[string]any{"javascript": !v.NoScript, "dark": v.Dark, "width": v.Width, "height": 900})
	t.Cleanup(p.finish)
	return p
}

// finish is the test's cleanup.
func (p *Page) finish() {
	if p.t.Failed() {
		name := "failed-" + strings.ReplaceAll(p.t.Name(), "/", "-") + ".png"
		p.t.Logf("the last page was %s, see dist/screenshots/%s", p.URL(), name)
		p.screenshot(name)
	}
	for _, problem := range p.Problems() {
		p.t.Errorf("the page complained: %s", problem)
	}
	p.ask("close", nil)
}

// Expect says that the page may complain of something, which contains text.
func (p *Page) Expect(text string) { p.expected = append(p.expected, text) }

// Problems returns what the page has complained of since the last call, except
// what is expected.
func (p *Page) Problems() []string {
	p.t.Helper()
	var all, left []string
	p.into(&all, "problems", nil)
	for _, problem := range all {
		if !p.expects(problem) {
			left = append(left, problem)
		}
	}
	return left
}

func (p *Page) expects(problem string) bool {
	for _, text := range p.expected {
		if strings.Contains(problem, text) {
			return true
		}
	}
	return false
}

// Arrival is the answer to the last request of a navigation.
type Arrival struct {
	Status int               `json:"status"`
	Header map[string]string `json:"headers"` // by names in lower case
}

// Goto opens a URL.
func (p *Page) Goto(url string) Arrival {
	p.t.Helper()
	var a Arrival
	p.into(&a, "goto", map[string]any{"url": url})
	return a
}

// Reload loads the page again.
func (p *Page) Reload() { p.t.Helper(); p.ask("reload", nil) }

// Click clicks.
func (p *Page) Click(on Target) { p.t.Helper(); p.ask("click", map[string]any{"target": on}) }

// Fill replaces what is in a field.
func (p *Page) Fill(field Target, value string) {
	p.t.Helper()
	p.ask("fill", map[string]any{"target": field, "value": value})
}

// Select chooses an option of a list by its label.
func (p *Page) Select(list Target, option string) {
	p.t.Helper()
	p.ask("select", map[string]any{"target": list, "value": option})
}

// Check ticks a box or chooses a radio button.
func (p *Page) Check(box Target) { p.t.Helper(); p.ask("check", map[string]any{"target": box}) }

// Press presses a key, or several: "Tab", "Shift+Tab", "Enter".
func (p *Page) Press(key string) { p.t.Helper(); p.ask("press", map[string]any{"value": key}) }

// Type types a text where the focus is.
func (p *Page) Type(text string) { p.t.Helper(); p.ask("type", map[string]any{"value": text}) }

// See waits until something is visible.
func (p *Page) See(what Target) { p.t.Helper(); p.ask("see", map[string]any{"target": what}) }

// Gone waits until something is not visible.
func (p *Page) Gone(what Target) { p.t.Helper(); p.ask("gone", map[string]any{"target": what}) }

// Arrive waits until the URL of the page matches a regular expression.
func (p *Page) Arrive(pattern string) {
	p.t.Helper()
	p.ask("arrive", map[string]any{"value": pattern})
}

// Count returns how many of something there are now, visible or not.
func (p *Page) Count(what Target) (n int) {
	p.t.Helper()
	p.into(&n, "count", map[string]any{"target": what})
	return n
}

// Text returns the text of something as it is shown.
func (p *Page) Text(of Target) (text string) {
	p.t.Helper()
	p.into(&text, "text", map[string]any{"target": of})
	return text
}

// Value returns what is in a field.
func (p *Page) Value(field Target) (value string) {
	p.t.Helper()
	p.into(&value, "value", map[string]any{"target": field})
	return value
}

// Attribute returns an attribute, "" if there is none.
func (p *Page) Attribute(of Target, name string) (value string) {
	p.t.Helper()
	p.into(&value, "attribute", map[string]any{"target": of, "value": name})
	return value
}

// URL returns the URL of the page.
func (p *Page) URL() (url string) {
	p.t.Helper()
	p.into(&url, "url", nil)
	return url
}

// Evaluate runs a JavaScript expression in the page.
func (p *Page) Evaluate(expression string) (result any) {
	p.t.Helper()
	p.into(&result, "evaluate", map[string]any{"value": expression})
	return result
}

// Focused returns what the keyboard acts on, as screen readers have it:
// `button "Save"`.
func (p *Page) Focused() (what string) {
	p.t.Helper()
	p.into(&what, "focused", nil)
	return strings.TrimPrefix(what, "- ")
}

// Requests returns all requests so far: "GET http://… document".
func (p *Page) Requests() (all []string) {
	p.t.Helper()
	p.into(&all, "requests", nil)
	return all
}

// Cookie is a cookie of the browser.
type Cookie struct {
	Name     string  `json:"name"`
	Value    string  `json:"value"`
	Domain   string  `json:"domain"`
	Path     string  `json:"path"`
	Expires  float64 `json:"expires,omitempty"` // Unix seconds
	HTTPOnly bool    `json:"httpOnly"`
	Secure   bool    `json:"secure"`
	SameSite string  `json:"sameSite"`

	PartitionKey string `json:"partitionKey,omitempty"`
}

// Cookies returns the cookies of the browser.
func (p *Page) Cookies() (all []Cookie) {
	p.t.Helper()
	p.into(&all, "cookies", nil)
	return all
}

// SetCookies gives the browser cookies.
func (p *Page) SetCookies(cookies ...Cookie) {
	p.t.Helper()
	p.ask("setCookies", map[string]any{"cookies": cookies})
}

// ForgetCookies deletes all cookies.
func (p *Page) ForgetCookies() { p.t.Helper(); p.ask("forget", nil) }

// Look changes the width of the window and its colours.
func (p *Page) Look(width int, dark bool) {
	p.t.Helper()
	p.ask("look", map[string]any{"width": width, "height": 900, "dark": dark})
}

// WantAccessible fails the test for each thing that axe-core finds serious or
// critical. Rules are its names of what is looked at; none: everything.
func (p *Page) WantAccessible(rules ...string) {
	p.t.Helper()
	var findings []string
	p.into(&findings, "audit", map[string]any{"rules": rules})
	for _, f := range findings {
		p.t.Errorf("%s: %s", p.URL(), f)
	}
}

// WantFits fails the test if the page has to be scrolled sideways.
func (p *Page) WantFits() {
	p.t.Helper()
	var wide []string
	p.into(&wide, "wider", nil)
	if len(wide) > 0 {
		p.t.Errorf("%s is wider than the window: %s", p.URL(), strings.Join(wide, "\n"))
	}
}

// Screenshot writes the whole page to dist/screenshots.
func (p *Page) Screenshot(name string) { p.t.Helper(); p.screenshot(name + ".png") }

func (p *Page) screenshot(file string) {
	p.t.Helper()
	dir, err := directory()
	if err != nil {
		p.t.Fatal(err)
	}
	p.ask("screenshot", map[string]any{"value": filepath.Join(dir, "..", "..", "dist", "screenshots", file), "whole": true})
}

// ask gives the driver a command that has no result.
func (p *Page) ask(do string, arguments map[string]any) {
	p.t.Helper()
	p.into(nil, do, arguments)
}

// into gives the driver a command and decodes its result.
func (p *Page) into(result any, do string, arguments map[string]any) {
	p.t.Helper()
	command := map[string]any{"do": do, "page": p.id}
	maps.Copy(command, arguments)
	raw, err := shared.ask(command)
	if err != nil {
		p.t.Fatalf("%s: %v", do, err)
	}
	if result == nil || len(raw) == 0 {
		return
	}
	if err := json.Unmarshal(raw, result); err != nil {
		p.t.Fatalf("%s: %v", do, err)
	}
}
