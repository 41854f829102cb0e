package dashboard

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

const (
	streamStep = time.Second      // between two looks at the log
	streamLife = 10 * time.Minute // then the browser connects anew
	streamIdle = 20 * time.Second // then a comment shows that the connection lives
	streamWait = 5 * time.Second  // for a browser that does not read

	maxStreams       = 256
	maxStreamsOfKind = 32 // of visitors by the same key, for the same projects
)

// streams counts the streams that are open, by visitor. The zero value is ready.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// begin counts one more, unless there are too many.
func (s *streams) begin(visitor string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.of[visitor] >= maxStreamsOfKind {
		return false
	}
	if s.of == nil {
		s.of = make(map[string]int)
	}
	s.all++
	s.of[visitor]++
	return true
}

func (s *streams) end(visitor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[visitor]--; s.of[visitor] == 0 {
		delete(s.of, visitor)
	}
}

// streamLog sends the newest rows of a webhook's log as server-sent events,
// each time that they have changed. It ends with the request, when the
// dashboard or the gateway closes, and when the visitor is signed out.
func (v *visit) streamLog() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	visitor := strings.Join(append([]string{v.by.Name}, v.by.Projects...), " ")
	if !v.d.streams.begin(visitor) {
		return problem.Later(problem.TooManyRequests, "As many logs are watched live as can be. Reload the page to see what is new.", time.Minute)
	}
	defer v.d.streams.end(visitor)
	_, filter := v.logFilter()
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // for nginx in front

	out := http.NewResponseController(v.w)
	tick := time.NewTicker(streamStep)
	defer tick.Stop()
	end := time.NewTimer(streamLife)
	defer end.Stop()
	var shown [sha256.Size]byte
	sent := time.Now()
	for !v.gw.Closing() {
		rows, err := v.logRows(w, filter)
		if err != nil {
			return nil // the answer has begun; the page reconnects and is told
		}
		var message []byte
		if sum := sha256.Sum256(rows); sum != shown {
			shown, message = sum, eventMessage("log", rows)
		} else if time.Since(sent) > streamIdle {
			message = []byte(":\n\n")
		}
		if message != nil {
			sent = time.Now()
			_ = out.SetWriteDeadline(sent.Add(streamWait)) // where it is not supported the server's limits hold
			if _, err := v.w.Write(message); err != nil {
				return nil // the browser is gone
			}
			if err := out.Flush(); err != nil {
				return nil // the browser is gone
			}
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-v.ctx().Done():
			return nil
		case <-v.d.closing:
			return nil
		}
		if err := v.identify(); err != nil {
			return nil // the browser connects anew and is told
		}
	}
	return nil
}

// logRows renders the newest rows of a log.
func (v *visit) logRows(w gateway.Webhook, filter gateway.DeliveryFilter) ([]byte, error) {
	page, err := v.log(w, filter, gateway.Page{Limit: gateway.DefaultPage})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := v.d.pages["log"].ExecuteTemplate(&b, "log-rows", page); err != nil {
		return nil, fmt.Errorf("render log: %w", err)
	}
	return b.Bytes(), nil
}

// eventMessage writes a server-sent event.
func eventMessage(name string, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("event: " + name + "\n")
	for line := range bytes.Lines(data) {
		b.WriteString("data: ")
		b.Write(bytes.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.Bytes()
}
