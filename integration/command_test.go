package integration_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

func TestUnknownCommandsFail(t *testing.T) {
	for _, line := range []string{"webhook lisen", "webhook key crate"} {
		args := strings.Fields(line)
		out, err := exec.CommandContext(t.Context(), gatewaytest.Binary(t), args...).CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), `unknown command "`+args[len(args)-1]+`"`) {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	for _, line := range []string{"webhook", "webhook key", "webhook key --help"} {
		out, err := exec.CommandContext(t.Context(), gatewaytest.Binary(t), strings.Fields(line)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Available Commands:") {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
}

// Who ends a receiver can say so in several ways, as a terminal and the demo do;
// only a second Ctrl-C cuts it short.
func TestListenEndsWellHoweverOftenItIsToldTo(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), gatewaytest.Binary(t), "webhook", "listen", "--listen", "127.0.0.1:0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	_, address, _ := strings.Cut(lines.Text(), "http://")
	address, _, _ = strings.Cut(address, ",")
	conn, err := net.Dial("tcp", address) // it is given a second to send a request
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err != nil || last != "attempts received: 0" {
		t.Errorf("it ended with %q, %v", last, err)
	}
}
