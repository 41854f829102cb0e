package webhook

import (
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
)

// How the attributes of CloudEvents 1.0 are read (contract section 2):
//
//   - id, type and source are required. The id must be an event id here as
//     well; the source is kept for the log.
//   - time is created_at. It is optional.
//   - data is data, a JSON object; datacontenttype, if it is there, must be
//     JSON. In binary mode it is Content-Type; a ce-datacontenttype, which the
//     specification does not have, must be JSON too. Binary data (data_base64)
//     is refused.
//   - projectid and apiversion, extension attributes of ours, are the project's
//     id and api_version. They are optional.
//   - All others (subject, dataschema, other extensions) are allowed, as the
//     specification asks, and dropped.
//
// An attribute that is null counts as absent.

// CloudEvent reads a body that is one event in CloudEvents structured mode
// (application/cloudevents+json). An error is as with One.
func (in *Intake) CloudEvent(body []byte) (Input, error) {
	return in.one(body, (*reading).cloudEvent)
}

// CloudEvents reads a body that is a batch of CloudEvents
// (application/cloudevents-batch+json). The error is as with Array.
func (in *Intake) CloudEvents(body []byte) ([]Item, error) {
	return in.array(body, (*reading).cloudEvent)
}

// IsBinaryCloudEvent reports whether a request with these headers is an event
// in CloudEvents binary mode.
func IsBinaryCloudEvent(header map[string][]string) bool {
	return header["Ce-Specversion"] != nil || header["Ce-Id"] != nil && header["Ce-Type"] != nil
}

// BinaryCloudEvent reads an event in CloudEvents binary mode: its attributes are
// in the ce-* headers (an http.Header with its canonical names) and body is the
// data. That the media type is JSON is for the caller to see. Problems of an
// attribute have no pointer; their detail begins with the header's name.
func (in *Intake) BinaryCloudEvent(header map[string][]string, body []byte) (Input, error) {
	if len(body) > in.maxSize() {
		return Input{}, in.eventTooLarge()
	}
	c := newCanonicalizer(body, in.Preserve)
	defer c.release()
	if err := c.document(2); err != nil {
		return Input{}, err
	}
	r := reading{in: in, c: c}
	r.binaryCloudEvent(header)
	input, e := r.finish(len(body))
	if e != nil {
		return input, e
	}
	return input, nil
}

// requiredAttributes are those that every CloudEvent has.
var requiredAttributes = []string{"specversion", "id", "source", "type"}

// cloudEvent judges an event in structured mode.
func (r *reading) cloudEvent() {
	var data *member
	var base64 bool
	var seen []string
	for i := range r.c.members {
		m := &r.c.members[i]
		switch name := string(m.name[1 : len(m.name)-1]); {
		case name == "data":
			data = m
		case name == "data_base64":
			base64 = true
			r.problem(problem.InvalidValue, `Binary data is not taken; send a JSON object in "data".`, "#/data_base64")
		case !validAttributeName(name):
			r.problem(problem.UnknownMember, "The name of a CloudEvents attribute has only lower-case letters and digits.", r.memberPointer(m))
		case m.kind == 'n' || !knownAttribute(name):
		default:
			seen = append(seen, name)
			if text, ok := r.text(m, "#/"+name); ok {
				if name == "datacontenttype" { // the only one that may have quotes
					text, _ = jsontext.AppendUnquote(nil, r.value(m)) // its syntax is known to be good
				}
				r.attribute(name, text, "#/"+name)
			}
		}
	}
	for _, name := range requiredAttributes {
		if !slices.Contains(seen, name) {
			r.problem(problem.Missing, "A CloudEvent needs this attribute.", "#/"+name)
		}
	}
	if data != nil || !base64 {
		r.readData(data)
	}
	r.projectSaid = slices.Contains(seen, "projectid")
	r.settleProject("#/projectid")
}

// binaryCloudEvent judges an event in binary mode, whose data is what was read.
func (r *reading) binaryCloudEvent(header map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		const prefix = "Ce-"
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		attribute, place := strings.ToLower(name[len(prefix):]), strings.ToLower(name)
		values := header[name]
		switch {
		case !knownAttribute(attribute):
		case len(values) != 1:
			r.problem(problem.InvalidValue, "Send this header once.", place)
		default:
			text, err := url.PathUnescape(values[0]) // HTTP binding, section 3.1.3.2
			if err != nil {
				r.problem(problem.InvalidValue, "The percent-encoding is broken.", place)
				break
			}
			r.attribute(attribute, []byte(text), place)
		}
	}
	for _, name := range requiredAttributes {
		if len(header["Ce-"+strings.ToUpper(name[:1])+name[1:]]) == 0 {
			r.problem(problem.Missing, "A CloudEvent needs this attribute.", "ce-"+name)
		}
	}
	switch {
	case r.c.drained:
	case r.c.kind != '{':
		r.problem(problem.WrongType, "The data of an event must be an object.", "#")
	default:
		r.input.Data = r.c.out
		r.dataID, r.dataPointer = r.c.rootID, "#"
	}
	r.projectSaid = len(header["Ce-Projectid"]) > 0
	r.settleProject("ce-projectid")
}

// knownAttribute reports whether attribute takes note of the name.
func knownAttribute(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "time", "datacontenttype", "projectid", "apiversion":
		return true
	}
	return false
}

// attribute judges one attribute that is known.
func (r *reading) attribute(name string, text []byte, place string) {
	switch name {
	case "specversion":
		if string(text) != "1.0" {
			r.problem(problem.InvalidValue, "The gateway reads CloudEvents 1.0.", place)
		}
	case "id":
		r.setID(string(text), place)
	case "source":
		r.setSource(string(text), place)
	case "type":
		r.setType(text, place)
	case "time":
		r.setTime(text, place)
	case "datacontenttype":
		if !isJSONInUTF8(string(text)) {
			r.problem(problem.InvalidValue, "The data of an event must be JSON in UTF-8.", place)
		}
	case "projectid":
		r.setProjectID(string(text), place)
	case "apiversion":
		r.setAPIVersion(string(text), place)
	}
}

// setSource takes a source that may be written to a log: not empty, at most
// 1024 bytes, without white space, control characters, quotes and backslashes,
// none of which a URI reference has.
func (r *reading) setSource(source, place string) {
	const limit = 1024
	unfit := func(c rune) bool {
		return c == ' ' || c == '"' || c == '\\' || c == utf8.RuneError || unicode.IsControl(c)
	}
	if source == "" || len(source) > limit || strings.ContainsFunc(source, unfit) {
		r.problem(problem.InvalidValue, "A source is a URI reference of at most 1024 bytes.", place)
		return
	}
	r.input.Source = source
}

// validAttributeName reports whether name is one that the CloudEvents
// specification allows.
func validAttributeName(name string) bool {
	for i := range len(name) {
		if !wordChars[name[i]] || name[i] == '_' {
			return false
		}
	}
	return name != ""
}

// isJSONInUTF8 reports whether the text is a media type that says so.
func isJSONInUTF8(text string) bool {
	mediaType, params, err := mime.ParseMediaType(text)
	if err != nil {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return IsJSONType(mediaType)
}

// IsJSONType reports whether a media type without parameters, in lower case, is
// one of JSON. The data of a CloudEvent may have any.
func IsJSONType(mediaType string) bool {
	return strings.HasSuffix(mediaType, "/json") || strings.HasSuffix(mediaType, "+json")
}
