package integration_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/integration/node"
)

const exampleSecret = "a-secret-for-trying-things-out"

// TestExampleRunsAsTheREADMESays follows "Two minutes to a verified delivery" of
// the README: the gateway with Caddyfile.example, "webhook listen" as a second
// process, and the README's own curl command. Only ports are moved.
func TestExampleRunsAsTheREADMESays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		node.SkipOrFail(t, "curl is not installed")
	}
	listener := listen(t, "--secret", exampleSecret)
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: example(t, listener.URL())})

	blocks := readmeBlocks(t, "## Two minutes to a verified delivery")
	if len(blocks) < 5 {
		t.Fatalf("the README's section has %d blocks of code, want the two commands, curl, its answer, the listener's output", len(blocks))
	}
	curl, wantAnswer, wantPrinted := blocks[2], blocks[3], blocks[4]

	if got := run(t, "sh", "-c", moved(t, curl, "http://127.0.0.1:8080", gateway.URL(""))); shape(got) != shape(wantAnswer) {
		t.Errorf("curl (-README +got)\n%s", cmp.Diff(shape(wantAnswer), shape(got)))
	}
	printed := "listening on http://127.0.0.1:3000, answering 200; Ctrl-C ends\n" // StartProgram has read it
	for range strings.Count(wantPrinted, "\n") - 1 {
		printed += listener.Line(t) + "\n"
	}
	if shape(printed) != shape(wantPrinted) {
		t.Errorf("the listener (-README +got)\n%s", cmp.Diff(shape(wantPrinted), shape(printed)))
	}
	for _, scheme := range []string{"x-tengine-signature", "webhook-signature"} {
		if !strings.Contains(printed, scheme+" verified") {
			t.Errorf("%s was not verified:\n%s", scheme, printed)
		}
	}
}

// TestWebhooksAreAddedAsTheREADMESays follows "Adding a webhook" of the README: by
// its curl command, and with the key it names for the dashboard.
func TestWebhooksAreAddedAsTheREADMESays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		node.SkipOrFail(t, "curl is not installed")
	}
	listener := listen(t, "--secret", exampleSecret)
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: example(t, listener.URL())})
	publish := moved(t, readmeBlocks(t, "## Two minutes to a verified delivery")[2], "http://127.0.0.1:8080", gateway.URL(""))

	add := moved(t, readmeBlocks(t, "## Adding a webhook")[0], "http://127.0.0.1:8080", gateway.URL(""))
	add = moved(t, add, "http://127.0.0.1:3000/", listener.URL()+"/")
	if got := run(t, "sh", "-c", add); !strings.HasPrefix(got, `{"id":"wh_`) {
		t.Errorf("adding a webhook: %s", got)
	}
	if got := run(t, "sh", "-c", publish); !strings.Contains(got, `"deliveries":2,`) {
		t.Errorf("publishing with two webhooks: %s", got)
	}
	for verified := 0; verified < 4; { // two signatures of two deliveries
		if line := listener.Line(t); strings.HasSuffix(line, " verified") {
			verified++
		}
	}

	signIn := url.Values{"key": {"a-management-key-for-trying-things-out"}}
	req, err := http.NewRequest(http.MethodPost, gateway.URL("/webhooks/login"), strings.NewReader(signIn.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) == 0 {
		t.Errorf("signing in: %s, %d cookies", answer.Status, len(answer.Cookies()))
	}
}

// TestExampleNeverAnswersEmptySuccess sends what is no event to the example's
// site: a publisher must not take an answer for success.
func TestExampleNeverAnswersEmptySuccess(t *testing.T) {
	t.Parallel()
	gateway := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: example(t, "http://127.0.0.1:9")})
	for _, path := range []string{"/", "/event", "/events/", "/events/x", "/EVENTS", "//events", "/webhook"} {
		for _, host := range []string{"", "another.example", "localhost"} {
			for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodOptions} {
				req, err := http.NewRequest(method, gateway.URL(path), strings.NewReader(`{}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Host = host
				answer, err := gateway.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if answer.Status < 400 {
					t.Errorf("%s %s of host %q: %d %q, want an error", method, path, host, answer.Status, answer.Body)
				}
			}
		}
	}

	// A right request under another name is taken: with a body that says so.
	req, err := http.NewRequest(http.MethodPost, gateway.URL("/events"), strings.NewReader(`{"type":"project.created","data":{"id":"p"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "another.example"
	req.Header.Set("Authorization", "Bearer an-ingest-key-for-trying-things-out")
	req.Header.Set("Content-Type", "application/json")
	answer, err := gateway.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != http.StatusAccepted || !strings.Contains(answer.Body, `"id":"evt_`) {
		t.Errorf("another host name: %d %q", answer.Status, answer.Body)
	}
}

// TestDemoShowsEverythingVerified runs "webhook demo".
func TestDemoShowsEverythingVerified(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	cmd := exec.CommandContext(t.Context(), gatewaytest.Binary(t), "webhook", "demo")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + temporary}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const last = "11 deliveries in 12 attempts, one of which the receiver failed; 12 verified\n"
	if !bytes.HasSuffix(out, []byte(last)) || bytes.Contains(out, []byte("WRONG")) {
		t.Errorf("want the last line %qgot\n%s", last, out)
	}
	if left := files(t, temporary); len(left) > 0 {
		t.Errorf("the demo left %q behind", left)
	}
}

// A terminal that is closed ends the demo as Ctrl-C does, and a reader who has seen
// enough ("demo | head") keeps it from nothing.
func TestDemoLeavesNothingWhenItsOutputIsClosed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args  []string
		until string // a line begins with it
		leave func(p *os.Process, out io.Closer) error
	}{
		"terminal": {[]string{"--stay"}, "Both keep running", func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGHUP) }},
		"pipe":     {nil, "gateway", func(_ *os.Process, out io.Closer) error { return out.Close() }},
	} {
		temporary := t.TempDir()
		cmd := exec.CommandContext(t.Context(), gatewaytest.Binary(t), append([]string{"webhook", "demo"}, tc.args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + temporary}
		var problems bytes.Buffer
		cmd.Stderr = &problems
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), tc.until) {
		}
		if err := tc.leave(cmd.Process, out); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, out) // until it is closed
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, problems.String())
		}
		if left := files(t, temporary); len(left) > 0 {
			t.Errorf("%s: the demo left %q behind", name, left)
		}
	}
}

func TestExampleIsFormatted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(root(t), "Caddyfile.example")
	if out := run(t, gatewaytest.Binary(t), "fmt", "--diff", path); strings.Contains(out, "\n+") || strings.Contains(out, "\n-") {
		t.Errorf("caddy fmt would change Caddyfile.example:\n%s", out)
	}
}

// TestValidatingTheExampleMakesNoStore validates it where nothing exists yet.
func TestValidatingTheExampleMakesNoStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(root(t), "Caddyfile.example")
	cmd := exec.CommandContext(t.Context(), gatewaytest.Binary(t), "validate", "--config", path, "--adapter", "caddyfile")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Valid configuration")) {
		t.Errorf("validate: %v\n%s", err, out)
	}
	if made := files(t, dir); len(made) > 0 {
		t.Errorf("validate made %q", made)
	}
}

// example returns Caddyfile.example, delivering to the given receiver, with its
// ports moved to those of gatewaytest.
func example(t *testing.T, receiver string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	c := moved(t, string(text), "\tgrace_period", "\tadmin {$ADMIN}\n\tgrace_period")
	c = moved(t, c, "url http://127.0.0.1:3000/", "url "+receiver+"/")
	return moved(t, c, "\n:8080 {", "\n:{$SITE_PORT} {")
}

// moved replaces the one place of a text that has old.
func moved(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q is there %d times, want once, in\n%s", old, n, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

// listen runs "webhook listen" on a free port until the test ends.
func listen(t *testing.T, args ...string) *node.Program {
	t.Helper()
	args = append([]string{"webhook", "listen", "--listen", "127.0.0.1:0"}, args...)
	return node.StartProgram(t, exec.CommandContext(t.Context(), gatewaytest.Binary(t), args...))
}

var codeBlock = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")

// readmeBlocks returns the blocks of code of one section of the README.
func readmeBlocks(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, match := range codeBlock.FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// shape returns a text with everything that differs from run to run replaced.
func shape(text string) string {
	for _, r := range []struct{ pattern, to string }{
		{`\r`, ``},
		{`(evt|dlv)_[0-9A-Z]{26}`, `${1}_ID`},
		{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z`, `TIME`},
		{`(?m)^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}`, `TIME`},
		{`(?m)^Date: .* GMT$`, `Date: TIME`},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.to)
	}
	return strings.TrimSpace(text) + "\n"
}

// run runs a program that must succeed and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, problems.Bytes())
	}
	return string(out)
}

// files returns the paths of all files below a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// root is the directory of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
