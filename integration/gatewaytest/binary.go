package gatewaytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// BinaryVariable names the environment variable with the path of a binary to
// test instead of building one: a release, or what xcaddy has built.
const BinaryVariable = "GATEWAYTEST_BINARY"

// Binary returns the path of the gateway, building it first. It has the race
// detector if the tests have it. The result stays in dist/ of the checkout, so
// that the next test package does not link it again.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv(BinaryVariable); given != "" {
		return filepath.Abs(given)
	}
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(gomod)))
	path := filepath.Join(root, "dist", "test", binaryName)

	args := append([]string{"build", "-C", root, "-tags", "nobadger,nomysql,nopgx", "-o", path}, raceFlags...)
	build := exec.Command("go", append(args, "./cmd/webhook-gateway")...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return path, nil
})
