package webhook

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
)

// reading is one event while its members are judged.
type reading struct {
	in    *Intake
	c     *canonicalizer
	input Input

	project       *member // the envelope's "project", if it is sound
	dataID        []byte  // data.id as it stands in the body, if it is a string
	dataPointer   string  // where data is: "#/data", or "#" if the body is the data
	projectSaid   bool    // whether the event names a project, soundly or not
	projectUnsure bool    // whether a refused event could be meant for another project
	idSaid        bool    // whether there was an id, sound or not
	typeSaid      bool    // whether the type is a text
	aboutProject  bool    // whether the type begins with "project."
}

// problem adds a problem with the member at place, a JSON pointer in URI
// fragment form, or with the header of that name.
func (r *reading) problem(code problem.Code, detail, place string) {
	if place[0] != '#' {
		place, detail = "", "Header "+place+": "+detail
	}
	r.c.problem(code, detail, place)
}

// envelope judges an event of the gateway's own form (contract section 2).
func (r *reading) envelope() {
	var typ, data, project, projectID *member
	for i := range r.c.members {
		m := &r.c.members[i]
		switch string(m.name) {
		case `"type"`:
			typ = m
		case `"data"`:
			data = m
		case `"project"`:
			project = m
		case `"project_id"`:
			projectID = m
		case `"id"`:
			r.readID(m, "#/id")
		case `"created_at"`:
			r.readTime(m, "#/created_at")
		case `"api_version"`:
			r.readAPIVersion(m, "#/api_version")
		default:
			r.problem(problem.UnknownMember, "An event has no such member; names are case-sensitive.", r.memberPointer(m))
		}
	}
	r.readType(typ)
	r.readData(data)
	r.readProject(project)
	r.readProjectID(projectID, "#/project_id")
	r.settleProject("#/project_id")
}

// memberPointer returns the pointer to a member of the event.
func (r *reading) memberPointer(m *member) string {
	return string(appendPointerToken([]byte{'#'}, m.name))
}

// value returns the canonical bytes of a member's value.
func (r *reading) value(m *member) []byte {
	return r.c.out[m.value:m.end:m.end]
}

// text returns what stands between the quotes of a member that must be a
// string. Nothing that is allowed in any of them is ever escaped, so an escape
// is refused by the charset of the member.
func (r *reading) text(m *member, place string) ([]byte, bool) {
	if m.kind != '"' {
		r.problem(problem.WrongType, "This must be a string.", place)
		return nil, false
	}
	quoted := r.value(m)
	return quoted[1 : len(quoted)-1], true
}

func (r *reading) readType(m *member) {
	if m == nil {
		r.problem(problem.Missing, `An event needs a "type".`, "#/type")
		return
	}
	text, ok := r.text(m, "#/type")
	if !ok {
		return
	}
	r.setType(text, "#/type")
}

func (r *reading) setType(text []byte, place string) {
	r.typeSaid = true
	r.aboutProject = bytes.HasPrefix(text, []byte("project."))
	name, known := r.in.catalogue().known(text)
	switch {
	case known:
		r.input.Type = name
	case !ValidEventType(name):
		r.problem(problem.InvalidValue, "An event type is lower-case words joined by dots, like project.created, of at most 128 bytes.", place)
	default:
		r.problem(problem.UnknownType, "The catalogue has no such event type.", place)
	}
}

func (r *reading) readData(m *member) {
	switch {
	case m == nil:
		r.problem(problem.Missing, `An event needs "data".`, "#/data")
	case m.kind != '{':
		r.problem(problem.WrongType, `"data" must be an object.`, "#/data")
	default:
		r.input.Data = r.value(m)
		r.dataID, r.dataPointer = m.stringID, "#/data"
	}
}

func (r *reading) readID(m *member, place string) {
	if text, ok := r.text(m, place); ok {
		r.setID(string(text), place)
	}
}

func (r *reading) setID(id, place string) {
	again := r.idSaid
	r.idSaid = true
	if again { // which is refused; nobody can say which one is meant
		r.input.ID = ""
		return
	}
	if !ValidEventID(id) {
		r.problem(problem.InvalidValue, "An event id is 1 to 128 of A-Z a-z 0-9 _ : and -.", place)
		return
	}
	r.input.ID = id
}

func (r *reading) readTime(m *member, place string) {
	if text, ok := r.text(m, place); ok {
		r.setTime(text, place)
	}
}

func (r *reading) setTime(text []byte, place string) {
	if !validTime(text) {
		r.problem(problem.InvalidValue, "A time is RFC 3339, like 2024-01-01T00:00:00Z.", place)
		return
	}
	r.input.CreatedAt = string(text)
}

// validTime reports whether text is a time as RFC 3339 has it, of at most 64
// bytes. A leap second (":60") is refused: neither Go nor JavaScript reads it.
func validTime(text []byte) bool {
	if len(text) < len("2006-01-02T15:04:05Z") || len(text) > 64 {
		return false
	}
	if bytes.ContainsAny(text, "tz") { // RFC 3339 section 5.6 has them as well
		text = bytes.ToUpper(text)
	}
	var t time.Time
	if t.UnmarshalText(text) != nil {
		return false
	}
	// Package time also takes hours of one digit, a comma before the fraction
	// and offsets of any size.
	if text[len("2006-01-02T15")] != ':' || bytes.IndexByte(text, ',') >= 0 {
		return false
	}
	if text[len(text)-1] == 'Z' {
		return true
	}
	offset := string(text[len(text)-len("15:04"):])
	return offset[:2] <= "23" && offset[3:] <= "59"
}

func (r *reading) readAPIVersion(m *member, place string) {
	if text, ok := r.text(m, place); ok {
		r.setAPIVersion(string(text), place)
	}
}

func (r *reading) setAPIVersion(version, place string) {
	if !ValidAPIVersion(version) {
		r.problem(problem.InvalidValue, "An API version is 1 to 64 of A-Z a-z 0-9 . _ and -.", place)
		return
	}
	r.input.APIVersion = version
}

// readProject judges the envelope's "project". Its id is required.
func (r *reading) readProject(m *member) {
	if m == nil {
		return
	}
	r.projectSaid = true
	switch {
	case m.kind != '{':
		r.projectProblem(problem.WrongType, `"project" must be an object with an "id".`, "#/project")
	case m.stringID == nil && r.hasID(m):
		r.projectProblem(problem.WrongType, "This must be a string.", "#/project/id")
	case m.stringID == nil:
		r.projectProblem(problem.Missing, `"project" needs an "id", a string.`, "#/project/id")
	default:
		r.project = m
		r.setProjectID(unquote(m.stringID), "#/project/id")
	}
}

// hasID reports whether an object, of which no string "id" is known, has another.
func (r *reading) hasID(m *member) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(r.value(m)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return false
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if name.String() == "id" {
			return true
		}
		if dec.SkipValue() != nil {
			return false
		}
	}
	return false
}

func (r *reading) readProjectID(m *member, place string) {
	if m == nil {
		return
	}
	r.projectSaid = true
	text, ok := r.text(m, place)
	if !ok {
		r.projectUnsure = true
		return
	}
	r.setProjectID(string(text), place)
}

// setProjectID takes a project id from one of the places it can come from.
func (r *reading) setProjectID(id, place string) {
	switch {
	case !ValidProjectID(id):
		r.projectProblem(problem.InvalidValue, "A project id has "+ProjectIDRule+".", place)
	case r.input.ProjectID != "" && r.input.ProjectID != id:
		r.projectProblem(problem.InvalidValue, `"project" and "project_id" name different projects; send one of them.`, place)
	default:
		r.input.ProjectID = id
	}
}

// projectProblem adds a problem with what names the event's project.
func (r *reading) projectProblem(code problem.Code, detail, place string) {
	r.projectUnsure = true
	r.problem(code, detail, place)
}

// settleProject finds the project of an event that does not name one, and what
// the event says about its project (contract section 2, "Project"). Pointer is
// where a project could have been named.
func (r *reading) settleProject(place string) {
	var dataID *string
	if r.aboutProject && r.dataID != nil {
		id := unquote(r.dataID)
		dataID = &id
	}
	if !r.projectSaid {
		switch {
		case dataID != nil:
			r.setProjectID(*dataID, r.dataPointer+"/id")
		case r.in.DefaultProject != "":
			r.input.ProjectID = r.in.DefaultProject
			// Without them it could belong to the project that its data names.
			r.projectUnsure = r.projectUnsure || !r.typeSaid || r.aboutProject && r.input.Data == nil || r.c.drained
		default:
			r.problem(problem.Missing, "Nothing says which project the event belongs to.", place)
		}
	}
	switch {
	case r.project != nil && r.project.n > 1:
		r.input.Project = r.value(r.project)
	case dataID != nil && *dataID == r.input.ProjectID:
		r.input.Project = r.input.Data
	}
}

// unquote returns the text of a string as it stands in the body.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // a lone surrogate becomes U+FFFD, which no id has
	return string(text)
}
