// Package node is for tests: it runs real Node receivers (receiver.mjs, built on
// Express and the standardwebhooks library) and other small servers as child
// processes, and hands over what they saw.
//
// It installs nothing. Run "npm ci --prefix integration/node" once. Tests that
// miss Node or its packages are skipped, and fail where CI is set.
package node

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Options says what a Receiver knows and how it answers.
type Options struct {
	// Secret is the one secret the receiver verifies with. Empty: it judges
	// nothing.
	Secret string

	// Mode is "json", "raw", "standard" or "all". Empty is "all".
	Mode string

	// Statuses are the answers in turn, the last one from then on; 0 closes the
	// connection without an answer. Empty: 200, or 401 if a verdict is invalid.
	Statuses []int

	// Delay is the time before each answer, in whole milliseconds.
	Delay time.Duration

	// Limit is the body limit in Express's words. Empty is "512kb"; Express's
	// own default is "100kb".
	Limit string

	// ResponseHeaders are added to each answer: "Retry-After: 1".
	ResponseHeaders []string

	// Host is the address to listen on. Empty is 127.0.0.1.
	Host string
}

// Receiver is a running receiver.mjs.
type Receiver struct{ *Program }

// Record is one request as the receiver saw it.
type Record struct {
	Number        int                `json:"number"` // from 1
	Method        string             `json:"method"`
	URL           string             `json:"url"` // path and query
	HTTPVersion   string             `json:"http_version"`
	Headers       []webhook.Header   `json:"headers"` // as on the wire, in that order
	Body          []byte             `json:"body"`    // the raw bytes
	RemoteAddress string             `json:"remote_address"`
	Verdicts      map[string]Verdict `json:"verdicts"` // by mode; empty without a secret
	Status        int                `json:"status"`   // what the receiver answers
	Error         string             `json:"error"`    // why Express could not read the request
}

// Verdict is what one way of verifying says of a request.
type Verdict struct {
	// Valid says whether webhook-signature (mode standard) or
	// x-tengine-signature (the others) holds.
	Valid bool `json:"valid"`

	// Matches names the headers that hold for the receiver's secret. In a
	// rotation it can be x-tengine-signature-previous alone, and Valid false.
	Matches []string `json:"matches"`

	// Error says why it is not valid.
	Error string `json:"error"`
}

// Start runs a receiver until the test ends.
func Start(tb testing.TB, o Options) *Receiver {
	tb.Helper()
	node, dir := Find(tb)
	args := []string{filepath.Join(dir, "receiver.mjs"), "--exit-with-stdin", "--port=0"}
	for name, value := range map[string]string{"secret": o.Secret, "mode": o.Mode, "limit": o.Limit, "host": o.Host} {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	if len(o.Statuses) > 0 {
		var statuses []string
		for _, s := range o.Statuses {
			statuses = append(statuses, strconv.Itoa(s))
		}
		args = append(args, "--status="+strings.Join(statuses, ","))
	}
	if o.Delay > 0 {
		args = append(args, "--delay="+strconv.FormatInt(o.Delay.Milliseconds(), 10))
	}
	for _, h := range o.ResponseHeaders {
		args = append(args, "--header="+h)
	}
	return &Receiver{StartProgram(tb, exec.CommandContext(tb.Context(), node, args...))}
}

// Next returns the next request, and waits for it if need be.
func (r *Receiver) Next(tb testing.TB) Record {
	tb.Helper()
	return parse(tb, r.Line(tb))
}

// Records returns all requests so far.
func (r *Receiver) Records(tb testing.TB) []Record {
	tb.Helper()
	var all []Record
	for _, line := range r.Lines() {
		all = append(all, parse(tb, line))
	}
	return all
}

// Header returns the value of the first header of that name, or "".
func (r Record) Header(name string) string {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

// Find returns the node program and this directory, which holds node_modules.
// Where one of them is missing the test is skipped, or fails under CI.
func Find(tb testing.TB) (node, dir string) {
	tb.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		SkipOrFail(tb, "node is not installed: install Node 20 or later, then run npm ci in integration/node")
	}
	dir = filepath.Join(moduleRoot(tb), "integration", "node")
	for _, name := range []string{"express", "standardwebhooks"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
			SkipOrFail(tb, "the npm package "+name+" is not installed: run npm ci in integration/node")
		}
	}
	return node, dir
}

func parse(tb testing.TB, line string) Record {
	tb.Helper()
	var r Record
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		tb.Fatalf("receiver.mjs printed %q: %v", line, err)
	}
	return r
}

// moduleRoot is the nearest directory above the test's that has a go.mod.
func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("find the module: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("find the module: no go.mod above the test's directory")
		}
		dir = parent
	}
}
