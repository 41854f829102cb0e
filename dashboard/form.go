package dashboard

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// webhookForm is what stands in the form of a webhook. It is shown again when
// something is wrong with it; what is secret is not.
type webhookForm struct {
	URL         string
	Description string
	Events      []string
	OtherEvents string // types that the catalogue does not list
	Filters     []filterRow
	Filter      string
	Headers     []headerRow
	Auth        authFields
	Retry       string
	Timeout     string
	Rate        string
	Concurrency string
	Version     string

	faults faults
}

// filterRow is an entry of the map form of filters.
type filterRow struct {
	Path, Kind, Value string
	Fault             string
}

// headerRow is a header of the webhook.
type headerRow struct {
	Name, Value string
	Fault       string
}

// authFields become a header. Their values are never shown again.
type authFields struct {
	Kind string // "", "bearer", "basic" or "header"
	User string
	Name string // of an own header
}

// The kinds of a filterRow's value.
const (
	kindText    = "text"
	kindNumber  = "number"
	kindBoolean = "boolean"
	kindNull    = "null"
	kindList    = "list"
)

// spareRows are empty rows, for those without JavaScript.
const spareRows = 2

// maxRows bounds the rows that are read from a form.
const maxRows = 200

// readWebhookForm reads a form into a specification. items say what could not
// be read; the specification then lacks it.
func readWebhookForm(form url.Values) (f *webhookForm, spec gateway.WebhookSpec, items []problem.Item) {
	f = &webhookForm{
		URL:         strings.TrimSpace(form.Get("url")),
		Description: strings.TrimSpace(form.Get("description")),
		Events:      form["events"],
		OtherEvents: strings.TrimSpace(form.Get("other_events")),
		Filter:      strings.TrimSpace(strings.ReplaceAll(form.Get("filter"), "\r\n", "\n")),
		Retry:       strings.TrimSpace(form.Get("retry")),
		Timeout:     strings.TrimSpace(form.Get("timeout")),
		Rate:        strings.TrimSpace(form.Get("rate_limit")),
		Concurrency: strings.TrimSpace(form.Get("concurrency")),
		Version:     form.Get("version"),
		Auth:        authFields{Kind: form.Get("auth"), User: form.Get("auth_user"), Name: strings.TrimSpace(form.Get("auth_name"))},
	}
	spec = gateway.WebhookSpec{
		URL: f.URL, Description: f.Description, Filter: f.Filter, Secret: form.Get("secret"),
	}
	seen := make(map[string]bool)
	for _, event := range append(slices.Clone(f.Events), strings.Fields(f.OtherEvents)...) {
		if !seen[event] && len(seen) <= gateway.MaxEvents { // one too many is told of
			seen[event] = true
			spec.Events = append(spec.Events, event)
		}
	}
	f.readFilters(form, &spec, &items)
	f.readHeaders(form, &spec)
	f.readAuth(form, &spec, &items)
	f.readPace(&spec, &items)
	return f, spec, items
}

// readFilters reads the rows of the filter builder.
func (f *webhookForm) readFilters(form url.Values, spec *gateway.WebhookSpec, items *[]problem.Item) {
	paths, kinds, values := form["filter_path"], form["filter_kind"], form["filter_value"]
	for i := range min(len(paths), maxRows) {
		row := filterRow{Path: strings.TrimSpace(paths[i]), Kind: at(kinds, i), Value: at(values, i)}
		if row.Path == "" && row.Value == "" {
			continue
		}
		value, fault := row.json()
		switch _, twice := spec.Filters[row.Path]; {
		case fault != "":
		case twice:
			fault = "This path is there twice. For any of several values use a list."
		default:
			if spec.Filters == nil {
				spec.Filters = make(map[string]json.RawMessage)
			}
			spec.Filters[row.Path] = value
		}
		if fault != "" {
			row.Fault = fault
			*items = append(*items, problem.Item{Code: problem.InvalidValue, Detail: fault, Pointer: "#/filters"})
		}
		f.Filters = append(f.Filters, row)
	}
}

// at returns the i-th of a list, or nothing.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// json returns the row's value, or what is wrong with it.
func (row filterRow) json() (value json.RawMessage, fault string) {
	trimmed := strings.TrimSpace(row.Value)
	switch row.Kind {
	case kindNumber:
		if trimmed == "" || !json.Valid([]byte(trimmed)) || !strings.ContainsAny(trimmed[:1], "-0123456789") {
			return nil, "This must be a number, such as 42 or 0.5."
		}
		return json.RawMessage(trimmed), ""
	case kindBoolean:
		if trimmed != "true" && trimmed != "false" {
			return nil, "This must be true or false."
		}
		return json.RawMessage(trimmed), ""
	case kindNull:
		return json.RawMessage("null"), ""
	case kindList:
		var list []json.RawMessage
		if json.Unmarshal([]byte(trimmed), &list) != nil || len(list) == 0 {
			return nil, `This must be a list in JSON with at least one value, such as ["a", "b"].`
		}
		return json.RawMessage(trimmed), ""
	default:
		return quote(row.Value), ""
	}
}

// quote writes a text as JSON.
func quote(text string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return json.RawMessage(`""`) // a string can always be written
	}
	return bytes.TrimSpace(b.Bytes())
}

// readHeaders reads the header rows.
func (f *webhookForm) readHeaders(form url.Values, spec *gateway.WebhookSpec) {
	names, values := form["header_name"], form["header_value"]
	for i := range min(len(names), maxRows) {
		name, value := strings.TrimSpace(names[i]), at(values, i)
		if name == "" && value == "" {
			continue
		}
		f.Headers = append(f.Headers, headerRow{Name: name, Value: value})
		spec.Headers = append(spec.Headers, webhook.Header{Name: name, Value: value})
	}
}

// readAuth turns the authentication into a header, in place of one of the same
// name.
func (f *webhookForm) readAuth(form url.Values, spec *gateway.WebhookSpec, items *[]problem.Item) {
	secret := strings.TrimSpace(form.Get("auth_secret"))
	h := webhook.Header{Name: "Authorization"}
	switch f.Auth.Kind {
	case "bearer":
		h.Value = "Bearer " + secret
	case "basic":
		h.Value = "Basic " + base64.StdEncoding.EncodeToString([]byte(f.Auth.User+":"+form.Get("auth_secret")))
		if strings.Contains(f.Auth.User, ":") {
			*items = append(*items, problem.Item{Code: problem.InvalidValue, Pointer: "#/auth", Detail: "A user name must not hold a colon."})
		}
	case "header":
		h.Name, h.Value = f.Auth.Name, secret
	default:
		f.Auth = authFields{}
		return
	}
	if secret == "" {
		*items = append(*items, problem.Item{Code: problem.Missing, Pointer: "#/auth", Detail: "Give the token, password or value that is to be sent."})
		return
	}
	spec.Headers = slices.DeleteFunc(spec.Headers, func(other webhook.Header) bool { return strings.EqualFold(other.Name, h.Name) })
	spec.Headers = append(spec.Headers, h)
}

// readPace reads the advanced settings.
func (f *webhookForm) readPace(spec *gateway.WebhookSpec, items *[]problem.Item) {
	refuse := func(pointer, detail string) {
		*items = append(*items, problem.Item{Code: problem.InvalidValue, Pointer: pointer, Detail: detail})
	}
	if f.Timeout != "" {
		d, err := webhook.ParseDuration(f.Timeout)
		if spec.Timeout = d; err != nil || d == 0 {
			refuse("#/timeout", gateway.TimeoutRule)
		}
	}
	if f.Rate != "" {
		rate, err := webhook.ParseRate(f.Rate)
		if spec.Rate = rate; err != nil {
			refuse("#/rate_limit", gateway.RateRule)
		}
	}
	if f.Concurrency != "" {
		n, err := strconv.Atoi(f.Concurrency)
		if err != nil || n == 0 {
			refuse("#/concurrency", gateway.ConcurrencyRule)
			n = 0 // of too many digits Atoi makes the largest number
		}
		spec.Concurrency = n
	}
	switch words := strings.FieldsFunc(f.Retry, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }); {
	case f.Retry == "":
	case len(words) == 1 && (words[0] == "off" || words[0] == "none"):
		spec.Retry = []time.Duration{}
	default:
		for _, word := range words[:min(len(words), maxRows)] {
			d, err := webhook.ParseDuration(word)
			if err != nil {
				refuse("#/retry", `These must be waits such as "1m 5m 1h", or "off".`)
				return
			}
			spec.Retry = append(spec.Retry, d)
		}
	}
}

// formOf returns the form of a webhook as it is.
func formOf(w gateway.Webhook) *webhookForm {
	f := &webhookForm{
		URL: w.URL, Description: w.Description, Events: w.Events, Filter: w.Filter, Version: w.Version,
		Rate: w.Rate.String(),
	}
	for path, value := range w.Filters {
		f.Filters = append(f.Filters, newFilterRow(path, value))
	}
	slices.SortFunc(f.Filters, func(a, b filterRow) int { return strings.Compare(a.Path, b.Path) })
	for _, h := range w.Headers {
		f.Headers = append(f.Headers, headerRow{Name: h.Name, Value: h.Value})
	}
	if w.Timeout != 0 {
		f.Timeout = webhook.FormatDuration(w.Timeout)
	}
	if w.Concurrency != 0 {
		f.Concurrency = strconv.Itoa(w.Concurrency)
	}
	f.Retry = retryText(w.Retry)
	return f
}

func retryText(steps []time.Duration) string {
	if steps == nil {
		return ""
	}
	if len(steps) == 0 {
		return "off"
	}
	words := make([]string, len(steps))
	for i, step := range steps {
		words[i] = webhook.FormatDuration(step)
	}
	return strings.Join(words, " ")
}

func newFilterRow(path string, value json.RawMessage) filterRow {
	row := filterRow{Path: path, Kind: kindText, Value: string(value)}
	var text string
	switch {
	case len(value) == 0:
	case value[0] == '"' && json.Unmarshal(value, &text) == nil:
		row.Value = text
		if strings.ContainsAny(text, "\r\n") { // an input has one line: a list says the same in JSON
			row.Kind, row.Value = kindList, "["+string(value)+"]"
		}
	case value[0] == '[':
		row.Kind = kindList
	case value[0] == 't' || value[0] == 'f':
		row.Kind = kindBoolean
	case value[0] == 'n':
		row.Kind, row.Value = kindNull, ""
	default:
		row.Kind = kindNumber
	}
	return row
}

// FilterRows returns the rows to show, spare ones included.
func (f *webhookForm) FilterRows() []filterRow {
	return append(slices.Clone(f.Filters), make([]filterRow, spareRows)...)
}

// HeaderRows returns the rows to show, spare ones included.
func (f *webhookForm) HeaderRows() []headerRow {
	return append(slices.Clone(f.Headers), make([]headerRow, spareRows)...)
}

// Fault returns what is wrong with a field, for the templates.
func (f *webhookForm) Fault(field string) string { return f.faults.of(field) }

// Faults returns everything that is wrong, for the summary.
func (f *webhookForm) Faults() []fault { return f.faults }

// Advanced says whether something is set that the form hides at first.
func (f *webhookForm) Advanced() bool {
	return f.Retry+f.Timeout+f.Rate+f.Concurrency != "" || f.Fault("retry")+f.Fault("timeout")+f.Fault("rate_limit")+f.Fault("concurrency") != ""
}

// tell puts problems at the fields and rows that they are about.
func (f *webhookForm) tell(items []problem.Item) {
	f.faults = newFaults(items)
	for _, it := range items {
		field, name := splitPointer(it.Pointer)
		switch field {
		case "filters":
			for i := range f.Filters {
				if f.Filters[i].Path == name && name != "" {
					addFault(&f.Filters[i].Fault, it.Detail)
				}
			}
		case "headers":
			for i := range f.Headers {
				if strings.EqualFold(f.Headers[i].Name, name) {
					addFault(&f.Headers[i].Fault, it.Detail)
				}
			}
		}
	}
}

// addFault adds to what is wrong with a row.
func addFault(to *string, text string) { *to = strings.TrimSpace(*to + " " + text) }
