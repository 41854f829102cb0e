package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/signer"
)

// TestBackupOfAGatewayAtWorkIsRestoredElsewhere follows the README: a backup
// while events come, the store on another machine, the key beside it.
func TestBackupOfAGatewayAtWorkIsRestoredElsewhere(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	caddyfile := withAPI(t, egress())
	dir := t.TempDir()
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile, Dir: dir})
	token := strings.TrimSpace(webhookCommand(t, g, "", "key", "create", "manager").out)
	webhook := createWebhook(t, g, token, receiver.URL())

	publish(t, g, "evt_done")
	receiver.Await(t, 1)
	awaitNothingPending(t, g)
	receiver.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	const before = 20
	for i := range before {
		publish(t, g, fmt.Sprintf("evt_before_%d", i))
	}

	steps := readmeBackup(t)
	publishing := publishUntil(t, g)
	shell(t, g, dir, steps[0])
	publishing.stop()
	g.Kill(t)
	for _, name := range []string{"gateway.backup", "gateway.secrets_key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want it for its owner only", name, info, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.unfinished*")); len(left) > 0 {
		t.Errorf("the backup left %q", left)
	}

	elsewhere := t.TempDir()
	for _, name := range []string{"gateway.backup", "gateway.secrets_key"} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(elsewhere, name)); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, nil, elsewhere, steps[1])
	receiver.Handle(nil)
	arrived := len(receiver.Requests())
	g = gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile, Dir: elsewhere})
	awaitNothingPending(t, g)

	delivered := make(map[string]int)
	for _, req := range receiver.Requests()[arrived:] {
		delivered[req.Header.Get("Webhook-Id")]++
		if err := signer.VerifyRequest(req.Header, req.Body, webhook.Secret); err != nil {
			t.Errorf("a delivery of the restored gateway: %v", err)
		}
	}
	if n := status(t, g).Deliveries["delivered"]; n != len(delivered)+1 {
		t.Errorf("%d deliveries are delivered, want the %d of now and the one of before the backup", n, len(delivered))
	}
	event := askAs(t, g, http.MethodGet, "/api/v1/events/evt_done", token)
	if event.Status != http.StatusOK || !strings.Contains(event.Body, `"result":"delivered"`) {
		t.Errorf("the event of before the backup: %d %s", event.Status, event.Body)
	}
	if list := askAs(t, g, http.MethodGet, webhooksOfAcme, token); !strings.Contains(list.Body, webhook.ID) {
		t.Errorf("the webhooks: %d %s", list.Status, list.Body)
	}
	for i := range before {
		if id := fmt.Sprintf("evt_before_%d", i); delivered[id] != 1 {
			t.Errorf("%s was delivered %d times, want once", id, delivered[id])
		}
	}
	if delivered["evt_done"] != 0 {
		t.Error("what was delivered before the backup was delivered again")
	}
	if got := g.Post(t, "/events", eventOf("evt_done")); got.Status != 202 || !strings.Contains(got.Body, `"duplicate":true`) {
		t.Errorf("an event of before the backup: %d %s, want a duplicate", got.Status, got.Body)
	}
}

// TestRestoreRefuses what is no whole backup, and directories that hold something.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile("")})
	publish(t, g, "evt_1")
	backup := webhookCommand(t, g, "", "backup")
	if backup.status != 0 || !strings.Contains(backup.problems, "secrets_key") {
		t.Fatalf("backup to standard output: %d %s", backup.status, backup.problems)
	}
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(taken, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := backup.out
	for name, tc := range map[string]struct {
		input string
		args  []string
		want  string
	}{
		"empty":           {"", []string{"--dir", filepath.Join(dir, "a")}, "not a whole backup"},
		"truncated":       {whole[:len(whole)-1], []string{"--dir", filepath.Join(dir, "b")}, "not a whole backup"},
		"corrupt":         {whole[:len(whole)/2] + "x" + whole[len(whole)/2+1:], []string{"--dir", filepath.Join(dir, "c")}, "not a whole backup"},
		"taken directory": {whole, []string{"--dir", taken}, "not empty"},
		"file":            {whole, []string{"--dir", file}, "not a directory"},
		"no directory":    {whole, nil, "--dir is required"},
	} {
		got := webhookCommand(t, nil, tc.input, append([]string{"restore", "--input", "-"}, tc.args...)...)
		if got.status == 0 || !strings.Contains(got.problems, tc.want) {
			t.Errorf("%s: %+v, want %q", name, got, tc.want)
		}
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("after nothing but refusals there is %q, want %s", left, file)
	}
	if got := webhookCommand(t, nil, "", "restore", "--dir", dir); got.status == 0 || !strings.Contains(got.problems, "--input is required") {
		t.Errorf("no input: %+v", got)
	}
	if got := webhookCommand(t, nil, whole, "restore", "--input", "-", "--dir", filepath.Join(dir, "new", "store")); got.status != 0 {
		t.Errorf("the whole backup: %+v", got)
	}
}

// TestFailedBackupLeavesNothing: neither a file nor half of one, and what was
// there before.
func TestFailedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile("")})
	dir := t.TempDir()
	if got := webhookCommand(t, g, "", "backup", "--output", dir); got.status == 0 || !strings.Contains(got.problems, "is not a file") {
		t.Errorf("to a directory: %+v", got)
	}
	old := filepath.Join(dir, "old.backup")
	if err := os.WriteFile(old, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Kill(t)
	if got := webhookCommand(t, g, "", "backup", "--output", old); got.status == 0 || got.out != "" {
		t.Errorf("of nothing: %+v", got)
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old" {
		t.Errorf("the backup of before is %q, %v", text, err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("there is %q", left)
	}
}

// readmeBackup returns the README's commands for a backup and for what is done
// with it.
func readmeBackup(t *testing.T) (steps []string) {
	t.Helper()
	for _, block := range readmeBlocks(t, "## Operations") {
		if strings.HasPrefix(block, "caddy webhook backup") || strings.HasPrefix(block, "caddy webhook restore") {
			steps = append(steps, block)
		}
	}
	if len(steps) != 2 {
		t.Fatalf("the README has %d blocks about backups, want 2", len(steps))
	}
	return steps
}

// shell runs commands of the README in a directory, whose store is in "store".
func shell(t *testing.T, g *gatewaytest.Gateway, dir, commands string) {
	t.Helper()
	flags := ""
	if g != nil {
		flags = " --address " + strings.TrimPrefix(g.AdminURL(""), "http://")
	}
	for _, name := range []string{"backup", "restore"} {
		commands = strings.ReplaceAll(commands, "caddy webhook "+name, gatewaytest.Binary(t)+" webhook "+name+flags)
	}
	commands = strings.ReplaceAll(commands, "/var/lib/webhook-gateway/caddy/webhook_gateway", "store")
	run(t, "sh", "-c", "set -eu; cd '"+dir+"'\n"+commands)
}

func eventOf(id string) string {
	return `{"id":"` + id + `","type":"project.updated","data":{"id":"acme"}}`
}

func publish(t *testing.T, g *gatewaytest.Gateway, id string) {
	t.Helper()
	if got := g.Post(t, "/events", eventOf(id)); got.Status != http.StatusAccepted {
		t.Fatalf("publish %s: %d %s", id, got.Status, got.Body)
	}
}

// publisher publishes one event after the other.
type publisher struct{ stop func() }

// publishUntil publishes until it is stopped; it has begun when it returns.
func publishUntil(t *testing.T, g *gatewaytest.Gateway) publisher {
	t.Helper()
	var done sync.WaitGroup
	begun, end := make(chan struct{}), make(chan struct{})
	done.Go(func() {
		for i := 0; ; i++ {
			if got := g.Post(t, "/events", eventOf(fmt.Sprintf("evt_meanwhile_%d", i))); got.Status != http.StatusAccepted {
				t.Errorf("publish during the backup: %d %s", got.Status, got.Body)
			}
			if i == 0 {
				close(begun)
			}
			select {
			case <-end:
				return
			default:
			}
		}
	})
	<-begun
	return publisher{stop: func() {
		close(end)
		done.Wait()
	}}
}

type createdWebhook struct{ ID, Secret string }

// createWebhook creates a webhook of project acme, with more members than those that
// these tests need.
func createWebhook(t *testing.T, g *gatewaytest.Gateway, token, url string, members ...string) createdWebhook {
	t.Helper()
	members = append(members, `"url":"`+url+`"`, `"events":["project.updated"]`, `"timeout":"30s"`, `"retry":["1s","1s","1s"]`)
	answer := manage(t, g, token, http.MethodPost, webhooksOfAcme, "{"+strings.Join(members, ",")+"}")
	var created createdWebhook
	if err := json.Unmarshal([]byte(answer.Body), &created); err != nil || answer.Status != http.StatusCreated {
		t.Fatalf("create webhook: %d %s, %v", answer.Status, answer.Body, err)
	}
	return created
}

// manage sends a body to the management API.
func manage(t *testing.T, g *gatewaytest.Gateway, token, method, path, body string) gatewaytest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	answer, err := g.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// withAPI is a configuration with settings and the management API.
func withAPI(t *testing.T, settings string) string {
	t.Helper()
	return moved(t, gatewaytest.Caddyfile(settings), "\twebhook_ingest /events\n", "\twebhook_ingest /events\n\twebhook_api\n")
}
