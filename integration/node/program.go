package node

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for a line of a program. It only ends tests
// that would never end.
const patience = 30 * time.Second

// Program is a child process that serves HTTP on loopback, names its URL in the
// first line it prints, and then prints what it sees, line by line.
type Program struct {
	url   string
	cmd   *exec.Cmd
	stdin io.Closer
	stop  sync.Once

	ended   chan struct{} // closed by collect when stdout has ended
	mu      sync.Mutex
	lines   []string      // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced with each line
	read    int           // how many lines Line has returned; owned by the test

	stderr lockedBuffer
}

var loopbackURL = regexp.MustCompile(`http://(127\.[0-9.]+|\[::1\]):[0-9]+`)

// StartProgram starts cmd and waits until it serves. The program is stopped
// when the test ends, by its process id.
func StartProgram(tb testing.TB, cmd *exec.Cmd) *Program {
	tb.Helper()
	p := &Program{cmd: cmd, ended: make(chan struct{}), changed: make(chan struct{})}
	cmd.Stderr = &p.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("start %s: %v", cmd, err)
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		tb.Fatalf("start %s: %v", cmd, err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", cmd, err)
	}
	go p.collect(stdout)
	tb.Cleanup(p.Stop)
	tb.Cleanup(func() {
		if errors := p.stderr.String(); tb.Failed() && errors != "" {
			tb.Logf("%s wrote to stderr:\n%s", cmd, errors)
		}
	})

	first := p.Line(tb)
	if p.url = loopbackURL.FindString(first); p.url == "" {
		tb.Fatalf("%s: no loopback URL in its first line %q", cmd, first)
	}
	return p
}

// URL is where the program serves, without a path: "http://127.0.0.1:41234".
func (p *Program) URL() string { return p.url }

// Post sends one request to the program, on a connection of its own, and returns
// the status of the answer.
func (p *Program) Post(tb testing.TB, path string, body []byte, headers iter.Seq2[string, string]) (status int) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, p.url+path, bytes.NewReader(body))
	if err != nil {
		tb.Fatalf("post to %s: %v", p.url, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatalf("post to %s: %v", p.url, err)
	}
	res.Body.Close()
	return res.StatusCode
}

// Line returns the next line that the program printed after its first, and
// waits for it if need be. The test fails if the program ends or none comes.
func (p *Program) Line(tb testing.TB) string {
	tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		lines, changed := p.seen()
		if p.read < len(lines) {
			p.read++
			return lines[p.read-1]
		}
		select {
		case <-changed:
		case <-p.ended:
			if lines, _ := p.seen(); p.read == len(lines) {
				tb.Fatalf("%s ended while the test waited for a line", p.cmd)
			}
		case <-timeout.C:
			tb.Fatalf("%s printed no further line within %v", p.cmd, patience)
		}
	}
}

// Lines returns all lines printed so far, without the first.
func (p *Program) Lines() []string {
	lines, _ := p.seen()
	return lines[min(1, len(lines)):]
}

// Stop ends the process and waits for it. Stopping twice is fine.
func (p *Program) Stop() {
	p.stop.Do(func() {
		p.stdin.Close()
		_ = p.cmd.Process.Kill() // it may have ended by itself
		<-p.ended
		_ = p.cmd.Wait() // it was killed: the error says only that
	})
}

// collect reads the lines of the program until it ends.
func (p *Program) collect(stdout io.Reader) {
	defer close(p.ended)
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		p.mu.Lock()
		p.lines = append(p.lines, line[:len(line)-1])
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
}

// seen returns the lines so far, and a channel that is closed with the next.
func (p *Program) seen() (lines []string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clip(p.lines), p.changed
}

// SkipOrFail ends a test that lacks a program it needs: it skips, but where the
// environment variable CI is set it fails, so that CI cannot pass by testing
// nothing.
func SkipOrFail(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatal(why)
	}
	tb.Skip(why)
}

// lockedBuffer is a bytes.Buffer for a writer and a reader on two goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
