package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// newDemoCommand makes "caddy webhook demo".
func newDemoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo [--stay]",
		Short: "Shows the gateway at work, in a temporary directory",
		Long: `
Shows the gateway at work. It starts a gateway in a temporary directory and a
receiver as a second process, publishes one event of each type of the catalogue
and one that a filter stops, has the receiver fail once, and prints what arrived
and whether its signatures verified. It listens on loopback only, and removes
the directory at the end.

With --stay both keep running until Ctrl-C, so that you can publish events of
your own.`,
		Example: `  caddy webhook demo
  caddy webhook demo --stay`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdDemo),
	}
	cmd.Flags().Bool("stay", false, "Keep running after the demonstration, until Ctrl-C")
	return cmd
}

// demoTime is how long the demonstration may take. It takes about two seconds.
const demoTime = time.Minute

func cmdDemo(fl caddycmd.Flags) (code int, err error) {
	signal.Ignore(syscall.SIGPIPE) // or it would end before it removes the directory
	ctx, stop := untilEnded()
	defer stop()
	dir, err := os.MkdirTemp("", "webhook-gateway-demo-")
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{out: os.Stdout, dir: dir, key: signer.Generate(), secret: signer.Generate()}
	if err := d.run(ctx, fl.Bool("stay")); err != nil {
		return caddy.ExitCodeFailedQuit, err
	}
	return caddy.ExitCodeSuccess, nil
}

// demo is one demonstration.
type demo struct {
	out    io.Writer
	dir    string
	key    string // API key
	secret string // of the webhook

	url      string // where events are published
	receiver *demoReceiver
	accepted int // deliveries that the gateway promised
}

func (d *demo) run(ctx context.Context, stay bool) (err error) {
	if d.receiver, err = startDemoReceiver(ctx, d.out, d.secret); err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	defer d.receiver.kill()
	if err := d.startGateway(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	defer func() { err = errors.Join(err, caddy.Stop()) }()

	bounded, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	fmt.Fprintf(d.out, "gateway   %s, its data in %s\nreceiver  %s, a second process, which fails once\n\n", d.url, d.dir, d.receiver.url)
	if err := d.publishAll(bounded); err != nil {
		return err
	}
	if err := d.awaitDelivered(bounded); err != nil {
		return err
	}
	if stay {
		d.invite()
		<-ctx.Done()
	}
	return d.conclude(stay)
}

// startGateway runs a gateway in this process, from a Caddyfile as a user would
// write it.
func (d *demo) startGateway() error {
	site, err := freeAddress()
	if err != nil {
		return err
	}
	d.url = "http://" + site + "/events"
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
	grace_period 1s
	storage file_system %[1]q
	log {
		level ERROR
	}
	webhook_gateway {
		store badger {
			dir %[2]q
		}
		retry 1s 2s 5s
		egress {
			allow 127.0.0.0/8
			allow_http
		}
		api_key demo %[3]s {
			scope ingest
		}
		webhook demo {
			project *
			url %[4]s
			events *
			filters project.name "My Project"
			secret %[5]s
		}
	}
}
http://%[6]s {
	webhook_ingest /events
	respond 404
}
`, filepath.Join(d.dir, "caddy"), filepath.Join(d.dir, "store"), d.key, d.receiver.url, d.secret, site)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// publishAll publishes one event of each type, and one that the filter stops.
func (d *demo) publishAll(ctx context.Context) error {
	const project = `{"id":"proj_123","name":"My Project"}`
	for _, t := range webhook.Builtin().Types() {
		if err := d.publish(ctx, t.Type, project, t.Sample, ""); err != nil {
			return err
		}
	}
	return d.publish(ctx, "project.updated", `{"id":"proj_456","name":"Another Project"}`,
		json.RawMessage(`{"id":"proj_456","name":"Another Project"}`), "  (the filter wants My Project)")
}

func (d *demo) publish(ctx context.Context, event, project string, data json.RawMessage, remark string) error {
	body := fmt.Sprintf(`{"type":%q,"project":%s,"data":%s}`, event, project, data)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("publish %s: %w", event, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("publish %s: %w", event, err)
	}
	var accepted struct{ Deliveries int }
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal(answer, &accepted) != nil {
		return fmt.Errorf("publish %s: %s: %s", event, resp.Status, answer)
	}
	d.accepted += accepted.Deliveries
	d.receiver.say("published %-28s %d %s%s\n", event, resp.StatusCode, bytes.TrimSpace(answer), remark)
	return nil
}

// awaitDelivered waits until the gateway has nothing left to deliver.
func (d *demo) awaitDelivered(ctx context.Context) error {
	for pending() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d deliveries did not end: %w", pending(), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// pending counts the pending deliveries of this process.
func pending() int {
	n := 0
	engines.Range(func(_, value any) bool {
		n += value.(*engine).gateway.Pending()
		return true
	})
	return n
}

func (d *demo) invite() {
	d.receiver.say("\nBoth keep running; Ctrl-C ends them. Publish an event of your own:\n\n"+
		"curl %s -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n"+
		`  -d '{"type":"project.created","data":{"id":"proj_123","name":"My Project"}}'`+"\n", d.url, d.key)
}

// conclude stops the receiver and says whether all went as it should.
func (d *demo) conclude(stayed bool) error {
	attempts, verified, err := d.receiver.stop()
	if err != nil {
		return fmt.Errorf("stop the receiver: %w", err)
	}
	fmt.Fprintf(d.out, "%d deliveries in %d attempts, one of which the receiver failed; %d verified\n", d.accepted, attempts, verified)
	if verified != attempts || (!stayed && attempts != d.accepted+1) {
		return errors.New("that is not what was published: please report it with the output above")
	}
	return nil
}
