package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/signer"
)

const (
	// maxReceived is how much of a body is read, in bytes: twice what an event
	// can be.
	maxReceived = 1 << 20

	// maxPrinted is how much of a body, and of all added headers together, is
	// printed, in bytes.
	maxPrinted = 8 << 10
)

// receiver is the HTTP handler behind "caddy webhook listen". It prints every
// request and answers all of them alike. Whatever a request holds, what is
// printed is bounded and has no control characters.
type receiver struct {
	out    io.Writer
	now    func() time.Time
	secret string // empty: nothing is verified
	status int
	delay  time.Duration

	mu       sync.Mutex // makes one request one block of output
	failures int        // how many of the next requests are answered 503
	attempts int
	verified int
}

// ServeHTTP prints and answers one request.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now := r.now()
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxReceived))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); err != nil && !tooLarge {
		return // the sender is gone
	}
	if err != nil {
		r.print(now, fmt.Sprintf("%s\n  body       over %d bytes, not read\n  answered   413\n", title(req), maxReceived))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if r.delay == 0 {
		status := r.answer()
		r.printRequest(now, req, body, answered(status))
		w.WriteHeader(status)
		return
	}
	r.printRequest(now, req, body, "")
	if !r.wait(req) {
		panic(http.ErrAbortHandler) // cuts the connection; net/http logs nothing
	}
	status := r.answer()
	if line := answered(status); line != "" {
		r.print(r.now(), title(req)+"\n"+line)
	}
	w.WriteHeader(status)
}

// answered returns a line for an answer, unless it is the usual one.
func answered(status int) string {
	if status == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("  answered   %d\n", status)
}

// answer returns the status of the next answer.
func (r *receiver) answer() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures > 0 {
		r.failures--
		return http.StatusServiceUnavailable
	}
	return r.status
}

// wait waits for the delay. It returns false if there is nobody to answer any
// more.
func (r *receiver) wait(req *http.Request) bool {
	timer := time.NewTimer(r.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-req.Context().Done():
		r.print(r.now(), title(req)+"\n  answered   not at all: the sender hung up, or the receiver was stopped\n")
		return false
	}
}

func (r *receiver) printStart(addr net.Addr) {
	answer := strconv.Itoa(r.status)
	if r.delay > 0 {
		answer += " after " + r.delay.String()
	}
	fmt.Fprintf(r.out, "listening on http://%s, answering %s; Ctrl-C ends\n", addr, answer)
	if r.secret == "" {
		fmt.Fprint(r.out, "signatures are not checked: give the webhook's secret with --secret\n")
	}
}

func (r *receiver) printEnd() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secret == "" {
		fmt.Fprintf(r.out, "\nattempts received: %d\n", r.attempts)
		return
	}
	fmt.Fprintf(r.out, "\nattempts received: %d, verified: %d\n", r.attempts, r.verified)
}

// print writes one block, with its time and an empty line before it.
func (r *receiver) print(at time.Time, block string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "\n%s  %s", at.Format("15:04:05.000"), block)
}

// printRequest prints a request, and the line about its answer if there is one.
func (r *receiver) printRequest(now time.Time, req *http.Request, body []byte, answer string) {
	var b strings.Builder
	b.WriteString(title(req) + "\n")
	isDelivery := req.Header.Get("X-Tengine-Delivery") != ""
	verified := false
	if isDelivery {
		test := ""
		if req.Header.Get("X-Tengine-Test") == "true" {
			test = ", a test"
		}
		fmt.Fprintf(&b, "  delivery   %s, attempt %s%s\n",
			clean(req.Header.Get("X-Tengine-Delivery")), clean(req.Header.Get("X-Tengine-Attempt")), test)
		var verdict string
		verdict, verified = r.verify(now, req.Header, body)
		b.WriteString(verdict)
	}
	writeHeaders(&b, req.Header)
	fmt.Fprintf(&b, "  body       %s\n%s", printable(body), answer)

	r.print(now, b.String())
	r.mu.Lock()
	defer r.mu.Unlock()
	if isDelivery {
		r.attempts++
	}
	if verified {
		r.verified++
	}
}

// title says what arrived: of a delivery the event, of anything else the
// request line.
func title(req *http.Request) string {
	event := req.Header.Get("X-Tengine-Event")
	if event == "" || req.Header.Get("X-Tengine-Delivery") == "" {
		return fmt.Sprintf("%s %s, not a delivery", clean(req.Method), clean(req.URL.Path))
	}
	return clean(event) + "  " + clean(req.Header.Get("Webhook-Id"))
}

// verify returns a line for each of the two signatures, and whether both hold.
func (r *receiver) verify(now time.Time, header http.Header, body []byte) (lines string, ok bool) {
	const form = "  signature  x-tengine-signature %s\n             webhook-signature %s\n"
	if r.secret == "" {
		return fmt.Sprintf(form, "not checked", "not checked"), false
	}
	s, err := signer.FromHeader(header)
	tengine, standard := err, err
	if err == nil {
		tengine = signer.VerifyTengine(s, body, r.secret)
		standard = signer.VerifyStandard(now, s, body, r.secret)
	}
	return fmt.Sprintf(form, verdict(tengine), verdict(standard)), tengine == nil && standard == nil
}

func verdict(err error) string {
	if err != nil {
		return "WRONG: " + clean(err.Error())
	}
	return "verified"
}

// usualHeaders are those that every delivery has, and are not worth a line.
var usualHeaders = []string{"Content-Type", "Content-Length", "User-Agent", "Accept-Encoding", "Connection", "Transfer-Encoding"}

// writeHeaders writes a line for each header that the webhook adds.
func writeHeaders(b *strings.Builder, header http.Header) {
	written := 0
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if slices.Contains(usualHeaders, name) || strings.HasPrefix(name, "X-Tengine-") || strings.HasPrefix(name, "Webhook-") {
			continue
		}
		for _, value := range header[name] {
			line := fmt.Sprintf("  header     %s: %s\n", clean(name), clean(value))
			if written += len(line); written > maxPrinted {
				b.WriteString("  header     … and more\n")
				return
			}
			b.WriteString(line)
		}
	}
}

// printable returns the beginning of a body as one line, and its length where
// that is not all.
func printable(body []byte) string {
	if len(body) == 0 {
		return "empty"
	}
	if len(body) <= maxPrinted {
		return clean(string(body))
	}
	cut := maxPrinted
	for cut > 0 && !utf8.RuneStart(body[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes in all)", clean(string(body[:cut])), len(body))
}

// clean replaces everything that could act on a terminal, or reorder what it
// shows, by its escape.
func clean(text string) string {
	if !strings.ContainsFunc(text, needsEscape) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		c, size := utf8.DecodeRuneInString(text)
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case needsEscape(c):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(c), "'"))
		default:
			b.WriteRune(c)
		}
		text = text[size:]
	}
	return b.String()
}

// needsEscape says whether c is invisible: a control or format character, a
// line separator, or no character at all.
func needsEscape(c rune) bool { return !unicode.IsPrint(c) }

// Interface guards
var _ http.Handler = (*receiver)(nil)
