package api

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
)

// maxBody is the largest body of a request, in bytes (contract section 3).
const maxBody = 1 << 20

// The time in which a body must arrive that is not small, unless the server's
// own read timeout says otherwise.
const (
	bodyTime  = 30 * time.Second
	smallBody = 16 << 10 // bytes
)

// readBody returns the body of a request; nil if there is none and it is
// optional.
func readBody(w http.ResponseWriter, r *http.Request, optional bool) ([]byte, error) {
	if optional && r.ContentLength == 0 {
		return nil, nil
	}
	limitBodyTime(w, r)
	body := bufio.NewReader(http.MaxBytesReader(w, r.Body, maxBody))
	if optional && r.ContentLength < 0 { // it comes in chunks, of which there may be none
		if _, err := body.Peek(1); errors.Is(err, io.EOF) {
			return nil, nil
		}
	}
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	text, err := io.ReadAll(body)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, problem.New(problem.BadRequest, "The body did not arrive whole.")
	}
	return text, nil
}

func limitBodyTime(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength >= 0 && r.ContentLength <= smallBody {
		return
	}
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.ReadTimeout > 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // where it is not supported the server's limits hold
}

func tooLarge() error {
	return problem.New(problem.TooLarge, "The body is larger than 1MiB. Send less data in one request.")
}

// mediaTypes are those that bodies may have.
var mediaTypes = []string{"application/json", "application/merge-patch+json"}

func checkMediaType(h http.Header) error {
	if _, ok := h["Content-Encoding"]; ok {
		return problem.New(problem.UnsupportedMediaType, "Send the body as it is: no Content-Encoding is taken.")
	}
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(h["Content-Type"]) != 1 || mediaType != mediaTypes[0] && mediaType != mediaTypes[1] {
		return problem.New(problem.UnsupportedMediaType, "Send the header Content-Type: application/json or application/merge-patch+json.")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return problem.New(problem.UnsupportedMediaType, "The only charset is utf-8.")
	}
	return nil
}
