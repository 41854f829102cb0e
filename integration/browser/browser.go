// Package browser is for tests: it opens pages in a real headless Chromium, by
// the npm package playwright-core (driver.mjs), and judges them with axe-core.
//
//	func TestMain(m *testing.M) { browser.Main(m) }
//
//	func TestSignIn(t *testing.T) {
//		page := browser.Open(t, browser.Visitor{})
//		page.Goto(gateway.URL("/webhooks"))
//		page.Fill(browser.Field("API key"), token)
//		page.Click(browser.Button("Sign in"))
//		page.See(browser.Heading("Webhooks"))
//	}
//
// One Chromium serves all tests of a package; each page is in a context of its
// own, as if it were another person's browser. What a page complains of (the
// content security policy, its console, errors of scripts, dialogs) fails the
// test unless it is expected.
//
// It installs nothing. Chromium is a package of Debian and others; run "npm ci
// --prefix integration/browser" once. Tests that miss them are skipped, and fail
// where CI is set.
package browser

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tengineai/webhook-gateway/integration/node"
)

// Main is the TestMain of packages that use this one: it runs the tests, ends
// Chromium and fails if goroutines are left behind.
func Main(m *testing.M) { goleak.VerifyTestMain(endingBrowser{m}) }

type endingBrowser struct{ m *testing.M }

func (e endingBrowser) Run() int {
	defer shared.stop()
	return e.m.Run()
}

// shared is the Chromium of the package's tests.
var shared driver

// driver is a running driver.mjs.
type driver struct {
	start    sync.Once
	missing  string // what is not installed
	startErr error

	process *exec.Cmd
	stderr  strings.Builder // to be read after ended is closed
	ended   chan struct{}

	mu      sync.Mutex
	stdin   io.WriteCloser              // guarded by mu, as is all below
	last    int                         // id of a command or a page
	waiting map[int]chan<- driverAnswer // by the command's id; nil: it has ended
}

type driverAnswer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// ready starts Chromium unless it runs. Where a program or package is missing
// the test is skipped, or fails under CI.
func (d *driver) ready(t testing.TB) {
	t.Helper()
	d.start.Do(d.launch)
	if d.missing != "" {
		node.SkipOrFail(t, d.missing)
	}
	if d.startErr != nil {
		t.Fatal(d.startErr)
	}
}

func (d *driver) launch() {
	nodePath, err := exec.LookPath("node")
	if err != nil {
		d.missing = "node is not installed: install Node 20 or later, then run npm ci in integration/browser"
		return
	}
	dir, err := directory()
	if err != nil {
		d.startErr = err
		return
	}
	for _, name := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
			d.missing = "the npm package " + name + " is not installed: run npm ci in integration/browser"
			return
		}
	}
	chromium := findChromium()
	if chromium == "" {
		d.missing = "Chromium is not installed: install the package chromium of your system"
		return
	}
	if err := d.run(exec.Command(nodePath, filepath.Join(dir, "driver.mjs"), chromium)); err != nil {
		d.startErr = fmt.Errorf("start the driver of Chromium: %w", err)
	}
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// directory is that of this package.
func directory() (string, error) {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "integration", "browser"), nil
}

func (d *driver) run(cmd *exec.Cmd) error {
	var err error
	if d.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = &d.stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	d.process, d.ended = cmd, make(chan struct{})
	first := make(chan driverAnswer, 1) // its id is 0
	d.waiting = map[int]chan<- driverAnswer{0: first}
	go d.collect(stdout)
	if answer := <-first; answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// collect hands each answer to who waits for it, until the driver ends.
func (d *driver) collect(stdout io.Reader) {
	defer close(d.ended)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var answer driverAnswer
		if err := json.Unmarshal(line, &answer); err == nil {
			d.hand(answer)
		}
	}
	_ = d.process.Wait() // what it has to say is in stderr

	d.mu.Lock()
	defer d.mu.Unlock()
	for id, waiting := range d.waiting {
		waiting <- driverAnswer{ID: id, Error: "the driver of Chromium ended: " + d.stderr.String()}
	}
	d.waiting = nil
}

func (d *driver) hand(answer driverAnswer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if waiting := d.waiting[answer.ID]; waiting != nil {
		delete(d.waiting, answer.ID)
		waiting <- answer
	}
}

// newPage returns a number for a page.
func (d *driver) newPage() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	return d.last
}

// ask gives the driver a command and returns its answer. The driver bounds how
// long each takes.
func (d *driver) ask(command map[string]any) (json.RawMessage, error) {
	answered := make(chan driverAnswer, 1)
	if err := d.tell(command, answered); err != nil {
		return nil, err
	}
	answer := <-answered
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Result, nil
}

func (d *driver) tell(command map[string]any, answered chan<- driverAnswer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		return errors.New("the driver of Chromium has ended")
	}
	d.last++
	command["id"] = d.last
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := d.stdin.Write(append(line, '\n')); err != nil {
		return err
	}
	d.waiting[d.last] = answered
	return nil
}

func (d *driver) stop() {
	if d.process == nil {
		return
	}
	d.mu.Lock()
	d.stdin.Close()
	d.mu.Unlock()
	<-d.ended
}
