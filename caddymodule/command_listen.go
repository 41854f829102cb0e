package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/signer"
)

// newListenCommand makes "caddy webhook listen".
func newListenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "listen [--listen <addr>] [--secret <secret>] [--status <code>] [--fail-first <n>] [--delay <duration>]",
		Short: "Runs a receiver that prints deliveries and verifies their signatures",
		Long: `
Runs a small receiver to try webhooks with. It prints each delivery as it
arrives: time, event type, event id, delivery id and attempt, the headers that
the webhook adds, and the body exactly as it was sent. Press Ctrl-C to end it.

With --secret, both signatures of each delivery are verified:
x-tengine-signature, and webhook-signature of Standard Webhooks. Other users of
this machine can see the arguments of a command; to keep the secret from them
give it as @<file>, as @- to be read from standard input, or as {env.NAME}.

--status is what every delivery is answered with, after --delay. With
--status 500 the gateway retries; with --delay 10s its timeout strikes. With
--fail-first 2 the first two requests are answered 503, so that a retry succeeds.

The gateway sends to this machine, and without TLS, only if its configuration
allows it:

	webhook_gateway {
		egress {
			allow 127.0.0.1
			allow_http
		}
	}`,
		Example: `  caddy webhook listen
  caddy webhook listen --listen 127.0.0.1:3001 --secret {env.WEBHOOK_SECRET}
  caddy webhook listen --status 503`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdListen),
	}
	cmd.Flags().StringP("listen", "l", "127.0.0.1:3000", "The TCP address to listen on")
	cmd.Flags().StringP("secret", "s", "", "The webhook's secret, or @file, @- or {env.NAME}")
	cmd.Flags().Int("status", http.StatusOK, "The status to answer with, 200 to 599")
	cmd.Flags().Int("fail-first", 0, "How many requests to answer with 503 before --status")
	cmd.Flags().String("delay", "0s", "How long to wait before answering")
	return cmd
}

func cmdListen(fl caddycmd.Flags) (int, error) {
	r := &receiver{out: os.Stdout, now: time.Now, status: fl.Int("status"), failures: fl.Int("fail-first")}
	var err error
	if fl.Changed("secret") {
		if r.secret, err = readSecret(fl.String("secret"), os.Stdin); err != nil {
			return caddy.ExitCodeFailedStartup, fmt.Errorf("--secret: %w", err)
		}
	}
	if r.status < 200 || r.status > 599 {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("--status: it is %d, it must be 200 to 599", r.status)
	}
	if r.failures < 0 {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("--fail-first: it is %d, it must be 0 or more", r.failures)
	}
	if r.delay, err = caddy.ParseDuration(fl.String("delay")); err != nil || r.delay < 0 {
		return caddy.ExitCodeFailedStartup, errors.New("--delay: it must be a duration such as 500ms or 10s")
	}
	ln, err := net.Listen("tcp", fl.String("listen"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("--listen: %w", err)
	}
	ctx, stop := untilEnded()
	defer stop()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) }) // a second Ctrl-C ends the process at once
	if err := r.run(ctx, ln); err != nil {
		return caddy.ExitCodeFailedQuit, err
	}
	return caddy.ExitCodeSuccess, nil
}

// maxSecretText is more than the longest secret takes, in bytes.
const maxSecretText = 4096

// readSecret reads a secret from where an argument says. No error repeats it.
func readSecret(arg string, stdin io.Reader) (string, error) {
	var secret string
	var err error
	switch path, isFile := strings.CutPrefix(arg, "@"); {
	case arg == "@-":
		secret, err = readSecretFrom(stdin)
	case isFile:
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			secret, err = readSecretFrom(f)
		}
	default:
		secret, _, err = resolveText(arg)
	}
	if err != nil {
		return "", err
	}
	return secret, signer.ValidSecret(secret)
}

func readSecretFrom(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSecretText))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// stopTime is how long answers that are under way may take when a receiver is
// stopped.
const stopTime = time.Second

// run serves until ctx ends.
func (r *receiver) run(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           r,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    256 << 10,
	}
	r.printStart(ln.Addr())

	stopped := make(chan struct{})
	stay := context.AfterFunc(ctx, func() {
		defer close(stopped)
		bounded, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if server.Shutdown(bounded) != nil {
			_ = server.Close() // what is left is cut off
		}
	})
	err := server.Serve(ln)
	if stay() {
		return fmt.Errorf("serve: %w", err)
	}
	<-stopped
	r.printEnd()
	return nil
}
