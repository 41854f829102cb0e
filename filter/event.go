package filter

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Event is what filters see of one event. Build it once per event with
// NewEvent and share it: it never changes and is safe for concurrent use. The
// JSON inside is decoded when the first filter asks for it, and once.
type Event struct {
	event   *webhook.Event
	noun    string
	isNoun  bool // whether noun is a name of the environment
	names   Names
	data    lazyObject
	project lazyObject

	// spent is the time that evaluations for this event took, in nanoseconds.
	spent atomic.Int64

	projects *ProjectTimes // nil: no limit
	time     atomic.Pointer[projectTime]

	mu        sync.Mutex
	variables map[string]any // guarded by mu until it is set, then immutable
	idle      []*machine     // guarded by mu
}

// NewEvent makes the environment of an event. project is the canonical JSON
// object that the gateway resolved as the event's project (contract section
// 2); nil stands for {"id":…} with the event's project id. Both arguments must
// not change afterwards.
func NewEvent(event *webhook.Event, project []byte, names Names) *Event {
	noun, _, _ := strings.Cut(event.Type, ".")
	return &Event{
		event:   event,
		noun:    noun,
		isNoun:  names.nouns[noun],
		names:   names,
		project: lazyObject{text: project},
	}
}

// Variables gives the whole environment by name, decoding what was not decoded
// yet: strings for id, type, created_at and api_version, map[string]any for
// data and project, and for each noun data or nil. Numbers are float64. The
// maps are shared by all filters of the event: do not write to them. It fails
// when the stored event is not the JSON it should be.
func (e *Event) Variables() (map[string]any, error) {
	data, err := e.decodeData()
	if err != nil {
		return nil, err
	}
	project, err := e.decodeProject()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.variables != nil {
		return e.variables, nil
	}
	variables := make(map[string]any, len(baseNames)+len(e.names.nouns))
	variables["id"] = e.event.ID
	variables["type"] = e.event.Type
	variables["created_at"] = e.event.CreatedAt
	variables["api_version"] = e.event.APIVersion
	variables["data"] = data
	variables["project"] = project
	for noun := range e.names.nouns {
		variables[noun] = nil
	}
	if e.isNoun {
		variables[e.noun] = data
	}
	e.variables = variables
	return variables, nil
}

// variable gives one name of the environment, decoding no more than it needs.
func (e *Event) variable(name string) (any, error) {
	switch name {
	case "id":
		return e.event.ID, nil
	case "type":
		return e.event.Type, nil
	case "created_at":
		return e.event.CreatedAt, nil
	case "api_version":
		return e.event.APIVersion, nil
	case "data":
		return e.decodeData()
	case "project":
		return e.decodeProject()
	}
	if e.isNoun && name == e.noun {
		return e.decodeData()
	}
	return nil, nil
}

// lookup walks objects from a top-level name; what is absent is nil.
func (e *Event) lookup(path []string) (any, error) {
	value, err := e.variable(path[0])
	if err != nil {
		return nil, err
	}
	for _, name := range path[1:] {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value, nil
}

func (e *Event) decodeData() (any, error) {
	e.data.once.Do(func() { e.data.decode("data", e.event.Data()) })
	return e.data.value, e.data.err
}

func (e *Event) decodeProject() (any, error) {
	e.project.once.Do(func() {
		if e.project.text == nil {
			e.project.value = map[string]any{"id": e.event.ProjectID}
			return
		}
		e.project.decode("project", e.project.text)
	})
	return e.project.value, e.project.err
}

// lazyObject is a JSON object decoded at most once.
type lazyObject struct {
	text  []byte
	once  sync.Once
	value any
	err   error
}

func (o *lazyObject) decode(name string, text []byte) {
	value, err := decode(text)
	if err == nil {
		if _, ok := value.(map[string]any); !ok {
			err = fmt.Errorf("no JSON object")
		}
	}
	if err != nil {
		o.err = &Error{Detail: shorten(fmt.Sprintf("the event's %s cannot be read: %v", name, err))}
		return
	}
	o.value = value
}

// Limit holds the event's filters to the time that its project has left. Call
// it before the event is used. Filters for all projects take nothing of it.
func (e *Event) Limit(projects *ProjectTimes) { e.projects = projects }

// timeLeft returns why the event's filters may take no more time, nil if they
// may.
func (e *Event) timeLeft(now time.Time, own bool) error {
	if e.spent.Load() >= int64(MaxEventTime) {
		return ErrEventTime
	}
	if own && e.projects != nil && !e.projectTime().left(now) {
		return ErrProjectTime
	}
	return nil
}

// spend counts the time that an evaluation took.
func (e *Event) spend(took time.Duration, own bool) {
	e.spent.Add(int64(took))
	if own && e.projects != nil {
		e.projectTime().spend(took)
	}
}

func (e *Event) projectTime() *projectTime {
	if t := e.time.Load(); t != nil {
		return t
	}
	t := e.projects.of(e.event.ProjectID)
	e.time.Store(t)
	return t
}

// machine lends what one evaluation needs for itself; give it back with
// release.
func (e *Event) machine() (*machine, error) {
	variables, err := e.Variables()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.idle); n > 0 {
		m := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return m, nil
	}
	m := &machine{env: maps.Clone(variables)}
	m.env[budgetName] = &m.budget
	return m, nil
}

func (e *Event) release(m *machine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = append(e.idle, m)
}
