package caddymodule_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newIngestServer returns a server with keys of several kinds, whose ingest
// takes events of up to 1000 bytes and batches of up to 3 events and 5000 bytes.
func newIngestServer(t *testing.T) *server {
	s := newServer(t)
	s.load(config{
		settings: webhookTo("one", "project.created") + `
			api_key reader ` + otherKey + `
			api_key acme a-key-for-the-project-acme-only {
				scope ingest
				projects acme
			}`,
		ingest: "max_size 1000\nmax_batch 3\nmax_batch_size 5000",
	})
	return s
}

// problemOf reads a problem document's code and those of its errors.
func problemOf(t *testing.T, body string) (code string, items []string) {
	t.Helper()
	var doc struct {
		Code   string
		Errors []struct{ Code string }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%q is no problem document: %v", body, err)
	}
	for _, e := range doc.Errors {
		items = append(items, e.Code)
	}
	return doc.Code, items
}

// TestIngestOrderOfJudgement sends requests with several faults and takes away
// one after the other: the first that is left is told (contract section 2).
func TestIngestOrderOfJudgement(t *testing.T) {
	s := newIngestServer(t)
	s.wantAnswer(`{"id":"used","type":"project.updated","data":{"id":"p"}}`, 202, `{"id":"used","deliveries":0,"duplicate":false}`)

	method, body := "PUT", strings.Repeat("{", 2000)
	header := map[string]string{
		"Authorization": "Bearer not-a-key-of-this-gateway", "X-Tengine-Delivery": "dlv_1", "Content-Type": "text/plain",
	}
	for _, step := range []struct {
		status int
		code   string
		mend   func()
	}{
		{405, "method_not_allowed", func() { method = "POST" }},
		{401, "unauthorized", func() { header["Authorization"] = "Bearer " + otherKey }},
		{403, "scope_missing", func() { header["Authorization"] = "Bearer " + ingestKey }},
		{508, "loop", func() { delete(header, "X-Tengine-Delivery") }},
		{415, "unsupported_media_type", func() { header["Content-Type"] = "application/json" }},
		{413, "too_large", func() { body = "{" }},
		{400, "bad_request", func() { body = `{"id":"used","type":"no","data":{"id":"p"}}` }},
		{422, "invalid", func() { body = `{"id":"used","type":"project.deleted","data":{"id":"p"}}` }},
		{409, "id_conflict", func() { body = `{"id":"free","type":"project.deleted","data":{"id":"p"}}` }},
	} {
		var pairs []string
		for name, value := range header {
			pairs = append(pairs, name, value)
		}
		got, err := s.do(method, "http://site/events", strings.NewReader(body), pairs...)
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := problemOf(t, got.body); got.status != step.status || code != step.code {
			t.Errorf("got %d %s, want %d %s", got.status, code, step.status, step.code)
		}
		if got := got.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%d: content type %q", step.status, got)
		}
		step.mend()
	}
	if got := s.publish(body); got.status != 202 {
		t.Errorf("without a fault: %d %s", got.status, got.body)
	}
}

func TestIngestTakesOnlyPost(t *testing.T) {
	s := newIngestServer(t)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"} {
		got, err := s.do(method, "http://site/events", nil, "Authorization", "")
		if err != nil {
			t.Fatal(err)
		}
		if got.status != 405 || got.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q; want 405, POST", method, got.status, got.header.Get("Allow"))
		}
	}
}

func TestIngestRefusesAnEmptyBatch(t *testing.T) {
	s := newIngestServer(t)
	got := s.publish(`[]`)
	if code, _ := problemOf(t, got.body); got.status != 422 || code != "invalid" {
		t.Errorf("got %d %s, want 422 invalid", got.status, got.body)
	}
}

func TestIngestAsksForAKey(t *testing.T) {
	s := newIngestServer(t)
	for _, authorization := range []string{
		"", "Bearer", "Bearer ", "Basic " + ingestKey, ingestKey, "Bearer" + ingestKey, "Bearer " + ingestKey + "x", "Bearer a b",
	} {
		got := s.publish(createdEvent, "Authorization", authorization)
		if want := `Bearer realm="webhook gateway"`; got.status != 401 || got.header.Get("WWW-Authenticate") != want {
			t.Errorf("%q: %d, WWW-Authenticate %q; want 401, %s", authorization, got.status, got.header.Get("WWW-Authenticate"), want)
		}
	}
	for _, authorization := range []string{"bearer " + ingestKey, "BEARER  " + ingestKey} {
		if got := s.publish(createdEvent, "Authorization", authorization); got.status != 202 {
			t.Errorf("%q: %d %s, want 202", authorization, got.status, got.body)
		}
	}
}

func TestKeyPublishesForItsProjectsOnly(t *testing.T) {
	s := newIngestServer(t)
	const key = "Bearer a-key-for-the-project-acme-only"
	if got := s.publish(`{"type":"project.created","data":{"id":"acme"}}`, "Authorization", key); got.status != 202 {
		t.Errorf("its project: %d %s", got.status, got.body)
	}
	got := s.publish(`{"type":"project.created","data":{"id":"other"}}`, "Authorization", key)
	if code, _ := problemOf(t, got.body); got.status != 403 || code != "project_not_allowed" {
		t.Errorf("another project: %d %s, want 403", got.status, got.body)
	}

	for name, tt := range map[string]struct {
		body   string
		header []string
		status int
		code   string
	}{
		"another project, malformed type":    {`{"type":"Bad","project_id":"other","data":{}}`, nil, 403, "project_not_allowed"},
		"another project, too large":         {`{"type":"project.created","project_id":"other","data":{"n":[` + strings.Repeat("1e20,", 100) + `0]}}`, nil, 403, "project_not_allowed"},
		"another project, CloudEvent":        {`{"specversion":"0","projectid":"other","type":"Bad","data":{}}`, []string{"Content-Type", "application/cloudevents+json"}, 403, "project_not_allowed"},
		"its project, malformed type":        {`{"type":"Bad","project_id":"acme","data":{}}`, nil, 422, "invalid"},
		"projects that disagree":             {`{"type":"project.created","project_id":"other","project":{"id":"acme"},"data":{}}`, nil, 422, "invalid"},
		"a malformed project":                {`{"type":"project.created","project_id":"*","data":{}}`, nil, 422, "invalid"},
		"no project":                         {`{"type":"api_key.created","data":{}}`, nil, 422, "invalid"},
		"text that is no JSON":               {`{"type":"project.created","project_id":"other"`, nil, 400, "bad_request"},
		"more than is read, another project": {`{"type":"project.created","project_id":"other","data":{"a":"` + strings.Repeat("x", 1000) + `"}}`, nil, 413, "too_large"},
	} {
		got := s.publish(tt.body, append([]string{"Authorization", key}, tt.header...)...)
		if code, _ := problemOf(t, got.body); got.status != tt.status || code != tt.code {
			t.Errorf("%s: got %d %s, want %d %s", name, got.status, got.body, tt.status, tt.code)
		}
	}

	got = s.publish(`[{"id":"b1","type":"project.created","data":{"id":"other"}},{"id":"b2","type":"project.created","data":{"id":"acme"}},{"id":"b3","type":"Bad","data":{},"project_id":"other"}]`,
		"Authorization", key)
	if got.status != 207 {
		t.Errorf("batch: %d %s, want 207", got.status, got.body)
	}
	want := []string{"b1 rejected project_not_allowed", "b2 accepted ", "b3 rejected project_not_allowed"}
	if diff := cmp.Diff(want, resultsOf(t, got.body)); diff != "" {
		t.Errorf("batch (-want +got)\n%s", diff)
	}
	// What was refused was not stored.
	s.wantAnswer(`{"id":"b1","type":"project.updated","data":{"id":"other"}}`, 202, `{"id":"b1","deliveries":0,"duplicate":false}`)
}

// resultsOf returns id, status and error code of each result of a batch.
func resultsOf(t *testing.T, body string) []string {
	t.Helper()
	var doc struct {
		Results []struct {
			ID, Status string
			Error      struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	var results []string
	for _, r := range doc.Results {
		results = append(results, r.ID+" "+r.Status+" "+r.Error.Code)
	}
	return results
}

// TestIngestAnswers compares whole answers: they are part of the contract.
func TestIngestAnswers(t *testing.T) {
	s := newIngestServer(t)
	const (
		jsonType  = "application/json"
		lines     = "application/x-ndjson"
		cloud     = "application/cloudevents+json"
		cloudMany = "application/cloudevents-batch+json"

		event      = `{"id":"a1","type":"project.created","data":{"id":"p"}}`
		attributes = `"specversion":"1.0","source":"/s","type":"project.created","data":{"id":"p"}`
	)
	for _, tt := range []struct {
		name, mediaType, body string
		header                []string
		status                int
		want                  string
	}{
		{"one", jsonType, event, nil, 202, `{"id":"a1","deliveries":1,"duplicate":false}`},
		{"repeat", jsonType + "; charset=UTF-8", "\n\t " + event + " \n", nil, 202, `{"id":"a1","deliveries":1,"duplicate":true}`},
		{"batch taken", jsonType, `[` + event + `,{"id":"a2","type":"project.updated","data":{"id":"p"}}]`, nil, 202,
			`{"results":[{"id":"a1","status":"duplicate","deliveries":1},{"id":"a2","status":"accepted","deliveries":0}]}`},
		{"batch of repeats", jsonType, `[` + event + `,` + event + `]`, nil, 202,
			`{"results":[{"id":"a1","status":"duplicate","deliveries":1},{"id":"a1","status":"duplicate","deliveries":1}]}`},
		{"batch in part", jsonType, `[{"id":"a1","type":"project.deleted","data":{"id":"p"}},` + event + `]`, nil, 207,
			`{"results":[{"id":"a1","status":"rejected","deliveries":0,"error":{"type":"https://github.com/tengineai/webhook-gateway/problems/id_conflict",` +
				`"title":"The event id was used with other content","status":409,"detail":"An event with this id and other content was taken before. ` +
				`Give the new event an id of its own.","code":"id_conflict"}},{"id":"a1","status":"duplicate","deliveries":1}]}`},
		{"lines", lines, event + "\n\n" + `{"id":"a3","type":"project.updated","data":{"id":"p"}}`, nil, 202,
			`{"results":[{"id":"a1","status":"duplicate","deliveries":1},{"id":"a3","status":"accepted","deliveries":0}]}`},
		{"one line is a batch", lines, event, nil, 202, `{"results":[{"id":"a1","status":"duplicate","deliveries":1}]}`},
		{"CloudEvent", cloud, `{"id":"c1",` + attributes + `}`, nil, 202, `{"id":"c1","deliveries":1,"duplicate":false}`},
		{"CloudEvents", cloudMany, `[{"id":"c1",` + attributes + `}]`, nil, 202, `{"results":[{"id":"c1","status":"duplicate","deliveries":1}]}`},
		{"binary CloudEvent", jsonType, `{"id":"p"}`,
			[]string{"ce-specversion", "1.0", "ce-id", "c1", "ce-type", "project.created", "ce-source", "/s"}, 202,
			`{"id":"c1","deliveries":1,"duplicate":true}`},
		{"binary CloudEvent of a JSON type", "Application/vnd.a+JSON; charset=utf-8", `{"id":"p"}`,
			[]string{"ce-specversion", "1.0", "ce-id", "c1", "ce-type", "project.created", "ce-source", "/s"}, 202,
			`{"id":"c1","deliveries":1,"duplicate":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.publish(tt.body, append([]string{"Content-Type", tt.mediaType}, tt.header...)...)
			if got.status != tt.status || got.body != tt.want+"\n" {
				t.Errorf("got %d %s\nwant %d %s", got.status, got.body, tt.status, tt.want)
			}
			if got := got.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

// TestIngestRefuses sends what is refused as a whole.
func TestIngestRefuses(t *testing.T) {
	s := newIngestServer(t)
	const jsonType = "application/json"
	long := strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name, body string
		header     []string
		status     int
		code       string
		item       string
	}{
		{"no content type", createdEvent, []string{"Content-Type", ""}, 415, "unsupported_media_type", ""},
		{"malformed content type", createdEvent, []string{"Content-Type", "application/json; charset"}, 415, "unsupported_media_type", ""},
		{"charset", createdEvent, []string{"Content-Type", jsonType + "; charset=iso-8859-1"}, 415, "unsupported_media_type", ""},
		{"identity", createdEvent, []string{"Content-Encoding", "identity"}, 415, "unsupported_media_type", ""},
		{"event too large", `{"type":"project.created","data":{"id":"` + long + `"}}`, nil, 413, "too_large", ""},
		{"too many events", `[` + createdEvent + strings.Repeat(","+createdEvent, 3) + `]`, nil, 413, "too_large", ""},
		{"too many lines", strings.Repeat(createdEvent+"\n", 4), []string{"Content-Type", "application/x-ndjson"}, 413, "too_large", ""},
		{"batch too large", `["` + strings.Repeat(long, 6) + `"]`, nil, 413, "too_large", ""},
		{"lines too large", strings.Repeat("\n", 6000), []string{"Content-Type", "application/x-ndjson"}, 413, "too_large", ""},
		{"white space before an event", strings.Repeat(" ", 2000) + createdEvent, nil, 413, "too_large", ""},
		{"nothing but white space", strings.Repeat(" ", 900), nil, 400, "bad_request", "malformed_json"},
		{"empty", "", nil, 400, "bad_request", "malformed_json"},
		{"byte order mark", "\ufeff" + createdEvent, nil, 400, "bad_request", "malformed_json"},
		{"byte order mark before an array", "\ufeff[" + createdEvent + "]", nil, 400, "bad_request", "malformed_json"},
		{"two events", createdEvent + createdEvent, nil, 400, "bad_request", "malformed_json"},
		{"syntax in a batch", `[` + createdEvent + `,{]`, nil, 400, "bad_request", "malformed_json"},
		{"syntax in a line", createdEvent + "\n{", []string{"Content-Type", "application/x-ndjson"}, 400, "bad_request", "malformed_json"},
		{"not an object", `"text"`, nil, 422, "invalid", "wrong_type"},
		{"a CloudEvent of another version", `{"id":"p"}`, []string{"ce-specversion", "2.0", "ce-id", "x", "ce-type", "project.created", "ce-source", "/"}, 422, "invalid", ""},
		{"a CloudEvent without a version", `{"id":"p"}`, []string{"ce-id", "x", "ce-type", "project.created", "ce-source", "/"}, 422, "invalid", ""},
		{"a binary CloudEvent of XML", `{"id":"p"}`, []string{"Content-Type", "text/xml", "ce-specversion", "1.0", "ce-id", "x", "ce-type", "project.created", "ce-source", "/"}, 415, "unsupported_media_type", ""},
		{"a JSON type without a CloudEvent", createdEvent, []string{"Content-Type", "application/vnd.a+json"}, 415, "unsupported_media_type", ""},
		{"an array as a CloudEvent", `[]`, []string{"Content-Type", "application/cloudevents+json"}, 422, "invalid", "wrong_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				var body io.Reader = strings.NewReader(tt.body)
				if chunked {
					body = struct{ io.Reader }{body} // of unknown length
				}
				got, err := s.do("POST", "http://site/events", body, tt.header...)
				if err != nil {
					t.Fatal(err)
				}
				code, items := problemOf(t, got.body)
				if got.status != tt.status || code != tt.code {
					t.Errorf("chunked %t: got %d %s, want %d %s", chunked, got.status, got.body, tt.status, tt.code)
				}
				if tt.item != "" && (len(items) == 0 || items[0] != tt.item) {
					t.Errorf("chunked %t: items %v, want %s", chunked, items, tt.item)
				}
			}
		})
	}
	if n := s.deliveries("a")["pending"]; n != 0 {
		t.Errorf("refused requests left %d deliveries", n)
	}
}

// TestIngestCountsWhatWasSent sends events of the limit that leave open what the
// gateway fills in.
func TestIngestCountsWhatWasSent(t *testing.T) {
	s := newIngestServer(t)
	for size, want := range map[int]int{1000: 202, 1001: 413} {
		const format = `{"type":"project.created","project_id":"p1","data":{"a":"%s"}}`
		body := fmt.Sprintf(format, strings.Repeat("x", size-len(format)+len("%s")))
		if got := s.publish(body); got.status != want {
			t.Errorf("%d bytes: got %d %s, want %d", len(body), got.status, got.body, want)
		}
	}
}

// TestIngestTellsTheAccessLogWhatWasTaken looks for the event's id and the
// CloudEvent's source in the line of its request.
func TestIngestTellsTheAccessLogWhatWasTaken(t *testing.T) {
	s := newServer(t)
	s.load(config{
		global: fmt.Sprintf("log {\noutput file %s\n}\n", s.path("access.log")),
		sites: `http://site2:{site2} {
			bind 127.0.0.1
			log
			webhook_ingest /events
		}`,
	})
	const attributes = `"specversion":"1.0","type":"project.created","data":{"id":"p"}`
	long := strings.Repeat("s", 1000)
	for _, tt := range []struct{ mediaType, body, id, source string }{
		{"application/json", `{"id":"a1","type":"project.created","data":{"id":"p"}}`, "a1", ""},
		{"application/cloudevents+json", `{"id":"c1","source":"//billing",` + attributes + `}`, "c1", "//billing"},
		{"application/cloudevents+json", `{"id":"c2","source":"` + long + `",` + attributes + `}`, "c2", long[:256]},
		{"application/cloudevents+json", `{"id":"c3","source":"x` + strings.Repeat("é", 200) + `",` + attributes + `}`, "c3", "x" + strings.Repeat("é", 127)},
	} {
		got, err := s.do("POST", "http://site2/events", strings.NewReader(tt.body), "Content-Type", tt.mediaType)
		if err != nil || got.status != 202 {
			t.Fatalf("%s: %v %d %s", tt.id, err, got.status, got.body)
		}
		line := s.awaitLine("access.log", `"event_id":"`+tt.id+`"`)
		var fields struct {
			Source string `json:"event_source"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields.Source != tt.source || (tt.source == "") != !strings.Contains(line, "event_source") {
			t.Errorf("%s: source %q, want %q", tt.id, fields.Source, tt.source)
		}
	}
}

// awaitLine waits for a line with the text in a log file: that of a request
// comes after its answer.
func (s *server) awaitLine(name, text string) string {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		log, err := os.ReadFile(s.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
	}
	s.t.Fatalf("no line with %s in %s", text, name)
	return ""
}

// TestBatchRefusedEntirelyIs422 has a fault in every event of a batch.
func TestBatchRefusedEntirelyIs422(t *testing.T) {
	s := newIngestServer(t)
	got := s.publish(`[{"id":"x1","type":"project.exploded","data":{"id":"p"}},7]`)
	if got.status != 422 {
		t.Errorf("got %d %s, want 422", got.status, got.body)
	}
	if diff := cmp.Diff([]string{"x1 rejected invalid", " rejected invalid"}, resultsOf(t, got.body)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestIngestTakesABodyThatComesSlowly sends an event byte by byte.
func TestIngestTakesABodyThatComesSlowly(t *testing.T) {
	s := newIngestServer(t)
	conn := s.dial()
	fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		ingestKey, len(createdEvent))
	for i := range createdEvent {
		if _, err := io.WriteString(conn, createdEvent[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := readStatus(t, conn); got != 202 {
		t.Errorf("got %d, want 202", got)
	}
}

// TestIngestRefusesBeforeTheBodyIsSent expects the answer to a request whose
// body never comes: the headers say enough.
func TestIngestRefusesBeforeTheBodyIsSent(t *testing.T) {
	s := newIngestServer(t)
	for name, tt := range map[string]struct {
		key    string
		length int
		status int
	}{
		"no key":    {"wrong", 100, 401},
		"too large": {ingestKey, 5001, 413},
	} {
		conn := s.dial()
		fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
			tt.key, tt.length)
		if got := readStatus(t, conn); got != tt.status {
			t.Errorf("%s: got %d, want %d", name, got, tt.status)
		}
	}
}

// TestIngestAnswersWhoReadsAfterSending sends far too much without reading
// meanwhile, as many clients do: they get the answer, not a broken connection.
func TestIngestAnswersWhoReadsAfterSending(t *testing.T) {
	s := newIngestServer(t)
	const length = 6 << 20
	conn := s.dial()
	fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		ingestKey, length)
	if _, err := conn.Write(make([]byte, length)); err != nil {
		t.Fatal(err)
	}
	if got := readStatus(t, conn); got != 413 {
		t.Errorf("got %d, want 413", got)
	}
}

func TestIngestRefusesTwoContentTypes(t *testing.T) {
	s := newIngestServer(t)
	conn := s.dial()
	fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s",
		ingestKey, len(createdEvent), createdEvent)
	if got := readStatus(t, conn); got != 415 {
		t.Errorf("got %d, want 415", got)
	}
}

func TestIngestTellsOfABodyThatBreaksOff(t *testing.T) {
	s := newIngestServer(t)
	conn := s.dial()
	fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: site\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n", ingestKey)
	if got := readStatus(t, conn); got != 400 {
		t.Errorf("got %d, want 400", got)
	}
}

// dial connects to the site.
func (s *server) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addresses["site"])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
