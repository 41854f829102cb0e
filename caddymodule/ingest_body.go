package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// form is how a request carries its events.
type form int

const (
	formJSON             form = iota // one event, or an array of them
	formLines                        // NDJSON
	formCloudEvent                   // CloudEvents, structured mode
	formCloudEvents                  // CloudEvents, batched mode
	formBinaryCloudEvent             // CloudEvents, binary mode: attributes in ce-* headers
)

// formOf reads the form of a request from its headers.
func formOf(h http.Header) (form, error) {
	if _, ok := h["Content-Encoding"]; ok {
		return 0, problem.New(problem.UnsupportedMediaType, "Send the body as it is: no Content-Encoding is taken.")
	}
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(h["Content-Type"]) != 1 { // of two, others may believe the other
		return 0, unsupportedMediaType()
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return 0, problem.New(problem.UnsupportedMediaType, "The only charset is utf-8.")
	}
	switch mediaType {
	case "application/x-ndjson":
		return formLines, nil
	case "application/cloudevents+json":
		return formCloudEvent, nil
	case "application/cloudevents-batch+json":
		return formCloudEvents, nil
	}
	switch {
	case webhook.IsBinaryCloudEvent(h) && webhook.IsJSONType(mediaType):
		return formBinaryCloudEvent, nil
	case mediaType == "application/json":
		return formJSON, nil
	}
	return 0, unsupportedMediaType()
}

func unsupportedMediaType() error {
	return problem.New(problem.UnsupportedMediaType, "Send the header Content-Type: application/json, application/x-ndjson, "+
		"application/cloudevents+json or application/cloudevents-batch+json.")
}

// requestBody is a request's body in memory. Its buffer is used again after
// free.
type requestBody struct{ buf *bytes.Buffer }

func (b requestBody) bytes() []byte { return b.buf.Bytes() }

func (b requestBody) free() {
	if b.buf.Cap() <= keptBufferSize {
		b.buf.Reset()
		buffers.Put(b.buf)
	}
}

const keptBufferSize = 1 << 20 // larger buffers are left to the garbage collector

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// read reads the body of a request, up to the limit of its form.
func (h *Ingest) read(w http.ResponseWriter, r *http.Request, f form) (requestBody, error) {
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		limitTime(w, r)
	}
	b := requestBody{buffers.Get().(*bytes.Buffer)}
	if err := h.fill(b.buf, w, r, f); err != nil {
		b.free()
		return requestBody{}, err
	}
	return b, nil
}

func (h *Ingest) fill(buf *bytes.Buffer, w http.ResponseWriter, r *http.Request, f form) error {
	limit := h.limit(f)
	most := limit
	if f == formJSON {
		most = max(limit, h.MaxBatchSize) // until the first byte tells an event from an array
	}
	if r.ContentLength > most {
		return tooLarge(most)
	}
	body := http.MaxBytesReader(w, r.Body, most)
	if f == formJSON {
		array, err := startsArray(buf, body)
		if err != nil {
			return bodyProblem(err, most)
		}
		if array {
			limit = h.MaxBatchSize
		}
		if r.ContentLength > limit {
			return tooLarge(limit)
		}
	}
	// One byte more than allowed tells a body that is too large.
	_, err := buf.ReadFrom(io.LimitReader(body, limit-int64(buf.Len())+1))
	if err != nil {
		return bodyProblem(err, most)
	}
	if int64(buf.Len()) > limit {
		return tooLarge(limit)
	}
	return nil
}

// limit returns how large a body of a form may be; of JSON, one event.
func (h *Ingest) limit(f form) int64 {
	if f == formLines || f == formCloudEvents {
		return h.MaxBatchSize
	}
	return h.MaxSize
}

// startsArray reads the beginning of a body into buf, up to the first byte that
// is not white space, and says whether an array begins there.
func startsArray(buf *bytes.Buffer, body io.Reader) (bool, error) {
	for {
		buf.Grow(bytes.MinRead)
		chunk := buf.AvailableBuffer()
		n, err := body.Read(chunk[:cap(chunk)])
		buf.Write(chunk[:n])
		if rest := bytes.TrimLeft(chunk[:n], " \t\r\n"); len(rest) > 0 {
			return rest[0] == '[', nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// bodyProblem tells a client why its body could not be read.
func bodyProblem(err error, limit int64) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit)
	}
	return problem.New(problem.BadRequest, "The body did not arrive whole.")
}

// bodyTime is how long a client may take to send a body that is not small,
// unless the server's read_timeout says otherwise: a large body that trickles in
// occupies memory.
const (
	bodyTime  = 30 * time.Second
	smallBody = 16 << 10 // bytes
)

// limitTime sets the time by which what is read of a request must have come.
// net/http sets its own for the next request.
func limitTime(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ReadTimeout > 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // where it is not supported the server's limits hold
}

func tooLarge(limit int64) error {
	return problem.New(problem.TooLarge, fmt.Sprintf("The body is larger than %s. Send less data in one request.",
		strings.ReplaceAll(humanize.IBytes(uint64(limit)), " ", "")))
}

// parse reads the events of a body. single says that the request is one event,
// to be answered as one.
func (h *Ingest) parse(s *gateway.Settings, f form, header http.Header, body []byte) (items []webhook.Item, single bool, err error) {
	in := h.intake(s)
	one := func(input webhook.Input, err error) ([]webhook.Item, bool, error) {
		return []webhook.Item{{Input: input}}, true, err
	}
	switch f {
	case formLines:
		items, err = in.Lines(body)
		return items, false, err
	case formCloudEvents:
		items, err = in.CloudEvents(body)
		return items, false, err
	case formCloudEvent:
		return one(in.CloudEvent(body))
	case formBinaryCloudEvent:
		return one(in.BinaryCloudEvent(header, body))
	default:
		if webhook.IsArray(body) {
			items, err = in.Array(body)
			return items, false, err
		}
		return one(in.One(body))
	}
}
