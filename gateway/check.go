package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The limits of a webhook (contract section 3, Limits). Those of URLs and
// headers are in package egress, of secrets in signer, of filters in filter.
const (
	MaxEvents      = 100
	MaxDescription = 500 // characters

	MaxRetrySteps = 20
	MinRetryStep  = time.Second
	MaxRetryStep  = 7 * 24 * time.Hour

	MinTimeout = time.Second
	MaxTimeout = 30 * time.Second

	MaxConcurrency = 1000
)

// What clients are told about values that are outside of these limits, or are
// none.
const (
	TimeoutRule     = "The timeout must be 1s to 30s."
	RateRule        = "A rate limit is 1 to 1000000 a second, minute or hour: 50/s, 100/m, 1000/h."
	ConcurrencyRule = "The concurrency must be a whole number from 1 to 1000."
)

// CheckContext is what a webhook is judged by. All fields are required.
type CheckContext struct {
	Catalogue *webhook.Catalogue
	Names     filter.Names // of the Catalogue
	Engines   map[string]filter.Engine
	Egress    *egress.Egress
}

// CheckContext returns what webhooks are judged by under these settings.
func (s *Settings) CheckContext() CheckContext {
	return CheckContext{
		Catalogue: s.Catalogue,
		Names:     namesOf(s.Catalogue),
		Engines:   s.Engines,
		Egress:    s.Egress,
	}
}

// CheckSubscription returns everything that keeps sub from being a webhook
// (contract section 3, Limits), in the order of the webhook's members; none if
// it is sound. Pointers are those of the members of the API: "#/url",
// "#/filters/project.name", "#/headers/X", "#/events/0", "#/retry/2"; the
// secret in use is "#/secret", the one before it "#/previous_secret". No item
// repeats a secret or a header value.
//
// It does not judge what needs to know other webhooks (the id, max_webhooks).
func CheckSubscription(sub *webhook.Subscription, c CheckContext) []problem.Item {
	var items []problem.Item
	items = append(items, checkProject(sub)...)
	items = append(items, c.Egress.CheckURL(sub.ProjectID, sub.URL)...)
	items = append(items, checkDescription(sub.Description)...)
	items = append(items, checkEvents(sub.Events, c.Catalogue)...)
	items = append(items, checkFilters(sub, c)...)
	items = append(items, egress.CheckHeaders(sub.Headers)...)
	items = append(items, checkSecrets(sub.Secrets)...)
	items = append(items, checkRetry(sub.Retry)...)
	items = append(items, checkPace(sub)...)
	return items
}

// CheckSpec returns what CreateWebhook would find wrong with a spec; nothing
// while the gateway is not ready, which is then the answer to everything.
func (g *Gateway) CheckSpec(projectID string, spec WebhookSpec) []problem.Item {
	gen, err := g.generation()
	if err != nil {
		return nil
	}
	return gen.judge(&spec, &webhook.Subscription{ProjectID: projectID}, nil)
}

// CheckChange returns what ChangeWebhook would find wrong with a change of a
// webhook; nothing if there is no such webhook for the key.
func (g *Gateway) CheckChange(by *Key, id string, change func(*WebhookSpec)) []problem.Item {
	gen, err := g.generation()
	if err != nil {
		return nil
	}
	before, err := gen.webhookFor(by, id)
	if err != nil {
		return nil
	}
	spec, after := specOf(before), *before
	change(&spec)
	return gen.judge(&spec, &after, before)
}

// judge writes a spec into sub and returns what is wrong with it. before is the
// webhook that is changed, of which sub is a copy; nil for a new one.
func (gen *Generation) judge(spec *WebhookSpec, sub, before *webhook.Subscription) []problem.Item {
	items := append(spec.apply(sub, before), CheckSubscription(sub, gen.check)...)
	if before == nil {
		return items
	}
	return changedOnly(items, before, sub)
}

func checkProject(sub *webhook.Subscription) []problem.Item {
	const pointer = "#/project_id"
	switch {
	case sub.ProjectID == "":
		return []problem.Item{{Code: problem.Missing, Pointer: pointer, Detail: "A project is required."}}
	case sub.ProjectID == webhook.AllProjects && sub.Static, webhook.ValidProjectID(sub.ProjectID):
		return nil
	}
	return []problem.Item{{
		Code: problem.InvalidValue, Pointer: pointer,
		Detail: "A project id has " + webhook.ProjectIDRule + ".",
	}}
}

func checkDescription(text string) []problem.Item {
	const pointer = "#/description"
	switch {
	case !utf8.ValidString(text):
		return []problem.Item{{Code: problem.InvalidUTF8, Pointer: pointer, Detail: "The description must be valid UTF-8."}}
	case utf8.RuneCountInString(text) > MaxDescription:
		return []problem.Item{{
			Code: problem.TooLong, Pointer: pointer,
			Detail: fmt.Sprintf("The description may have at most %d characters.", MaxDescription),
		}}
	}
	return nil
}

func checkEvents(events []string, catalogue *webhook.Catalogue) []problem.Item {
	const pointer = "#/events"
	switch {
	case len(events) == 0:
		return []problem.Item{{
			Code: problem.Missing, Pointer: pointer,
			Detail: `At least one event type is required; "*" is all of them.`,
		}}
	case len(events) > MaxEvents:
		return []problem.Item{{
			Code: problem.TooLong, Pointer: pointer,
			Detail: fmt.Sprintf(`There may be at most %d event types; "project.*" stands for all of a noun, "*" for all.`, MaxEvents),
		}}
	}
	var items []problem.Item
	for i, event := range events {
		at := fmt.Sprintf("%s/%d", pointer, i)
		switch {
		case !knowsPattern(catalogue, event):
			items = append(items, problem.Item{
				Code: problem.UnknownType, Pointer: at,
				Detail: `Name an event type of the catalogue, all types of a noun like "project.*", or "*".`,
			})
		case slices.Contains(events[:i], event):
			items = append(items, problem.Item{Code: problem.InvalidValue, Pointer: at, Detail: "The event type is there twice."})
		}
	}
	return items
}

// knowsPattern says whether a webhook may subscribe to pattern: a type of the
// catalogue, an operational type, all types of a noun that has any, or "*".
func knowsPattern(catalogue *webhook.Catalogue, pattern string) bool {
	if pattern == "*" {
		return true
	}
	noun, isNoun := strings.CutSuffix(pattern, ".*")
	if !isNoun {
		_, ok := catalogue.Lookup(pattern)
		return ok
	}
	if strings.Contains(noun, ".") {
		return false
	}
	ofNoun := func(t webhook.EventType) bool { return strings.HasPrefix(t.Type, noun+".") }
	return slices.ContainsFunc(catalogue.Types(), ofNoun) ||
		slices.ContainsFunc(webhook.OperationalTypes(), ofNoun) ||
		catalogue.Knows(noun+".x") // a catalogue of every well-formed type
}

func checkFilters(sub *webhook.Subscription, c CheckContext) []problem.Item {
	name := sub.FilterEngine
	if name == "" {
		name = DefaultEngine
	}
	engine, ok := c.Engines[name]
	if !ok {
		return []problem.Item{{
			Code: problem.InvalidValue, Pointer: "#/filter_engine",
			Detail: "There is no such filter engine in this build of the gateway.",
		}}
	}
	_, err := filter.Compile(engine, c.Names, sub.Filters, sub.Filter)
	if err == nil {
		return nil
	}
	errs, ok := errors.AsType[filter.Errors](err)
	if !ok {
		return []problem.Item{{Code: problem.InvalidFilter, Pointer: "#/filter", Detail: sentence(err.Error())}}
	}
	items := make([]problem.Item, 0, len(errs))
	for _, e := range errs {
		items = append(items, FilterProblem(e))
	}
	return items
}

// FilterProblem tells what is wrong with a filter as an item of a problem.
func FilterProblem(e *filter.Error) problem.Item {
	item := problem.Item{
		Code:    problem.InvalidFilter,
		Detail:  sentence(e.Detail),
		Pointer: "#/filter",
		Line:    e.Line,
		Column:  e.Column,
	}
	if e.Map {
		item.Pointer = "#/filters"
		if e.Path != "" {
			item.Pointer = problem.Pointer("filters", e.Path)
		}
	}
	return item
}

func checkSecrets(secrets []webhook.Secret) []problem.Item {
	var items []problem.Item
	for i, secret := range secrets {
		pointer := "#/secret"
		if secret.Role == webhook.SecretPrevious {
			pointer = "#/previous_secret"
		}
		if err := signer.ValidSecret(secret.Value); err != nil {
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: pointer, Detail: sentence(err.Error()),
			})
			continue
		}
		if slices.ContainsFunc(secrets[:i], func(s webhook.Secret) bool { return s.Value == secret.Value }) {
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: pointer, Detail: "The two secrets must differ.",
			})
		}
	}
	return items
}

func checkRetry(steps []time.Duration) []problem.Item {
	const pointer = "#/retry"
	if len(steps) > MaxRetrySteps {
		return []problem.Item{{
			Code: problem.TooLong, Pointer: pointer,
			Detail: fmt.Sprintf("There may be at most %d retries.", MaxRetrySteps),
		}}
	}
	var items []problem.Item
	for i, step := range steps {
		if step < MinRetryStep || step > MaxRetryStep {
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: fmt.Sprintf("%s/%d", pointer, i),
				Detail: "A wait before a retry must be 1s to 7d.",
			})
		}
	}
	return items
}

// checkPace judges how fast a webhook is to be served.
func checkPace(sub *webhook.Subscription) []problem.Item {
	var items []problem.Item
	refuse := func(pointer, detail string) {
		items = append(items, problem.Item{Code: problem.InvalidValue, Pointer: pointer, Detail: detail})
	}
	if sub.Timeout != 0 && (sub.Timeout < MinTimeout || sub.Timeout > MaxTimeout) {
		refuse("#/timeout", TimeoutRule)
	}
	if !sub.Rate.Valid() {
		refuse("#/rate_limit", RateRule)
	}
	if sub.Concurrency < 0 || sub.Concurrency > MaxConcurrency {
		refuse("#/concurrency", ConcurrencyRule)
	}
	return items
}

// namesOf returns the names that filters may use under a catalogue.
func namesOf(catalogue *webhook.Catalogue) filter.Names {
	types := catalogue.Types()
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Type
	}
	return filter.NewNames(names)
}

// sentence makes a sentence of an error's text.
func sentence(text string) string {
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return strings.TrimSuffix(text, ".") + "."
}
