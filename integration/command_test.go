package integration_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

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
