package integration_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// command is what "webhook …" has printed and how it ended.
type command struct {
	out, problems string
	status        int
}

// webhookCommand runs "webhook …" against a gateway.
func webhookCommand(t *testing.T, g *gatewaytest.Gateway, stdin string, args ...string) command {
	t.Helper()
	return commandInto(t, nil, g, stdin, args...)
}

// commandInto is webhookCommand with another standard output, unless that is nil.
func commandInto(t *testing.T, stdout *os.File, g *gatewaytest.Gateway, stdin string, args ...string) command {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), gatewaytest.Binary(t), append([]string{"webhook"}, args...)...)
	if g != nil {
		cmd.Args = append(cmd.Args, "--address", strings.TrimPrefix(g.AdminURL(""), "http://"))
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if stdout != nil {
		cmd.Stdout = stdout
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return command{out: out.String(), problems: problems.String(), status: cmd.ProcessState.ExitCode()}
}

// publishAs returns the status that an event is answered with.
func publishAs(t *testing.T, g *gatewaytest.Gateway, token string) int {
	t.Helper()
	return sendAs(t, g, "application/json", `{"type":"project.created","data":{"id":"acme"}}`, "Authorization", "Bearer "+token).Status
}

// TestKeyIsCreatedUsedAndRevoked follows a key through its life, by the commands.
func TestKeyIsCreatedUsedAndRevoked(t *testing.T) {
	t.Parallel()
	caddyfile := gatewaytest.Caddyfile("")
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile})

	created := webhookCommand(t, g, "", "key", "create", "billing", "--scope", "ingest", "--project", "acme", "--expires", "90d")
	token := strings.TrimSuffix(created.out, "\n")
	if created.status != 0 || !strings.HasPrefix(token, "wgw_") || strings.ContainsAny(token, " \n") {
		t.Fatalf("create: %+v, want nothing but the token on standard output", created)
	}
	if strings.Contains(created.problems, token) || !strings.Contains(created.problems, "billing") {
		t.Errorf("create told %q", created.problems)
	}
	if got := publishAs(t, g, token); got != 202 {
		t.Errorf("publish: %d, want 202", got)
	}
	list := webhookCommand(t, g, "", "key", "list")
	if list.status != 0 || !strings.Contains(list.out, "billing") || !strings.Contains(list.out, "in the configuration") || strings.Contains(list.out, token) {
		t.Errorf("list: %+v", list)
	}

	g.Kill(t)
	g.Restart(t)
	if got := publishAs(t, g, token); got != 202 {
		t.Errorf("publish after a restart: %d, want 202", got)
	}

	began := time.Now()
	if revoked := webhookCommand(t, g, "", "key", "revoke", "billing"); revoked.status != 0 || revoked.out != "" {
		t.Fatalf("revoke: %+v", revoked)
	}
	if got := publishAs(t, g, token); got != 401 {
		t.Errorf("publish %v after the command began: %d, want 401", time.Since(began), got)
	}
	if strings.Contains(g.Log(), token) {
		t.Error("the log holds the token")
	}

	for name, tc := range map[string]struct {
		args []string
		want string // part of what is said
	}{
		"unknown key":              {[]string{"key", "revoke", "billing"}, "no API key of this name"},
		"key of the configuration": {[]string{"key", "revoke", "ingest"}, "Remove it there and reload"},
		"name that is taken":       {[]string{"key", "create", "ingest"}, "Choose another name"},
		"bad name and scope":       {[]string{"key", "create", "No Name", "--scope", "root"}, "scopes/0: The scopes are ingest, read and manage."},
		"no name":                  {[]string{"key", "create"}, "name of the key is missing"},
		"past expiry":              {[]string{"key", "create", "x", "--expires", "2001-01-01T00:00:00Z"}, "lies in the past"},
		"bad expiry":               {[]string{"key", "create", "x", "--expires", "tomorrow"}, "--expires"},
	} {
		if got := webhookCommand(t, g, "", tc.args...); got.status == 0 || got.out != "" || !strings.Contains(got.problems, tc.want) {
			t.Errorf("%s: %+v, want %q", name, got, tc.want)
		}
	}
}

func TestStatusAndSendTalkToTheRunningProcess(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile(`
		egress {
			allow 127.0.0.1
			allow_http
		}
		webhook all {
			project *
			url ` + receiver.URL() + `
			events *
		}`)})

	sent := webhookCommand(t, g, "", "send", "--type", "project.created", "--project", "acme", "--id", "evt_one")
	if sent.status != 0 || sent.out != "evt_one 1 delivery\n" {
		t.Errorf("send: %+v", sent)
	}
	sent = webhookCommand(t, g, `{"type":"api_key.created","project_id":"acme","id":"evt_two","data":{"n":1}}
		{"type":"api_key.created",
		 "project_id":"acme","id":"evt_three","data":{"n":2}}`, "send")
	if sent.status != 0 || sent.out != "evt_two 1 delivery\nevt_three 1 delivery\n" {
		t.Errorf("send of two: %+v", sent)
	}
	sent = webhookCommand(t, g, `{"n":3}`, "send", "--type", "api_key.created", "--project", "acme", "--id", "evt_four", "--data", "@-")
	if sent.status != 0 || sent.out != "evt_four 1 delivery\n" {
		t.Errorf("send of data: %+v", sent)
	}
	bodies := bodiesOf(t, receiver, 4)
	if !strings.Contains(bodies["evt_three"], `"data":{"n":2}`) || !strings.Contains(bodies["evt_four"], `"data":{"n":3}`) {
		t.Errorf("the receiver got %q", bodies)
	}

	refused := webhookCommand(t, g, `[{"type":"no.such","project_id":"p","data":{}},{"type":"api_key.created","data":[]}]`, "send")
	if refused.status == 0 || !strings.Contains(refused.out, "type: ") || !strings.Contains(refused.problems, "2 of 2 events were refused") {
		t.Errorf("send of bad events: %+v", refused)
	}
	refused = webhookCommand(t, g, "", "send", "--type", "no.such", "--project", "p", "--data", "{}")
	if refused.status == 0 || !strings.Contains(refused.problems, "type: ") {
		t.Errorf("send of a bad event: %+v", refused)
	}

	status := webhookCommand(t, g, "", "status")
	if status.status != 0 || !strings.Contains(status.out, "ok") {
		t.Errorf("status: %+v", status)
	}
	status = webhookCommand(t, g, "", "status", "--json")
	if status.status != 0 || !strings.HasPrefix(status.out, `{"status":"ok"`) {
		t.Errorf("status --json: %+v", status)
	}
	g.Kill(t)
	if status = webhookCommand(t, g, "", "status"); status.status == 0 || !strings.Contains(status.problems, "is Caddy running there?") {
		t.Errorf("status of nothing: %+v", status)
	}
}

// An answer that standard output does not take must not look like a success: a
// token is shown once.
func TestCommandsFailIfTheirAnswerCannotBePrinted(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no device that is full: ", err)
	}
	defer full.Close()
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile("")})
	const event = `{"type":"project.created","data":{"id":"acme"}}`
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"key create": {"", []string{"key", "create", "lost"}, "revoke"},
		"key list":   {"", []string{"key", "list"}, "no space"},
		"send":       {event, []string{"send"}, "no space"},
		"send two":   {event + event, []string{"send"}, "no space"},
		"status":     {"", []string{"status"}, "no space"},
		"backup":     {"", []string{"backup"}, "no space"},
	} {
		if got := commandInto(t, full, g, tc.stdin, tc.args...); got.status == 0 || !strings.Contains(got.problems, tc.want) {
			t.Errorf("%s: %+v, want a failure and %q", name, got, tc.want)
		}
	}
}

// The commands find an admin API that wants to be told the origin of requests, as
// Caddy's own commands do.
func TestCommandsTellTheOriginWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	caddyfile := gatewaytest.Caddyfile("")
	g := gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile})
	if err := g.Reload(strings.Replace(caddyfile, "admin {$ADMIN}", "admin {$ADMIN} {\nenforce_origin\n}", 1)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"backup"}, {"send", "--type", "project.created"}, {"key", "create", "x"}, {"key", "revoke", "x"}} {
		if got := webhookCommand(t, g, "", args...); got.status != 0 {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
