package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// newVerifyCommand makes "caddy webhook verify".
func newVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   `verify [<body file>] --secret <secret> --header "<name>: <value>"...`,
		Short: "Verifies the signatures of a delivery and says why one is wrong",
		Long: `
Verifies a delivery that a receiver has got: the body exactly as it arrived, from
the file or standard input, and the headers of its signatures, each with
--header. Both x-tengine-signature and webhook-signature are verified, whichever
is there. It needs no running gateway.

--secret is the webhook's secret; during a rotation give it twice, old and new.
Other users of this machine can see the arguments of a command; to keep the
secret from them give it as @<file>, as @- to be read from standard input, or as
{env.NAME}.

A webhook-signature is good for 5 minutes. --at verifies one as it was at another
time, such as that of the log line.

The exit status is 1 if a signature is wrong or if there is none.`,
		Example: `  caddy webhook verify body.json --secret {env.WEBHOOK_SECRET} \
      --header "x-tengine-signature: sha256=4d9e…"`,
		Args: cobra.MaximumNArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(cmdVerify),
	}
	cmd.Flags().StringArrayP("secret", "s", nil, "The webhook's secret, or @file, @- or {env.NAME}")
	cmd.Flags().StringArrayP("header", "H", nil, `A header of the request, as "name: value"`)
	cmd.Flags().String("body", "", "The file of the body, instead of the argument")
	cmd.Flags().String("at", "", "The time to verify at, in RFC 3339 (default now)")
	return cmd
}

func cmdVerify(fl caddycmd.Flags) (int, error) {
	v := verification{now: time.Now()}
	if err := v.read(fl, os.Stdin); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	text, valid := v.judge()
	if _, err := io.WriteString(os.Stdout, text); err != nil {
		return printed(0, err)
	}
	if !valid {
		return caddy.ExitCodeFailedStartup, errors.New("the request is not verified")
	}
	return caddy.ExitCodeSuccess, nil
}

// verification is a request to verify.
type verification struct {
	now     time.Time
	secrets []string
	given   signer.Signatures
	body    []byte
}

func (v *verification) read(fl caddycmd.Flags, stdin io.Reader) error {
	secrets, _ := fl.GetStringArray("secret") // the flags exist and have this type
	headers, _ := fl.GetStringArray("header")
	file := fl.Arg(0)
	if fl.Changed("body") {
		if file != "" {
			return errors.New("the body is there twice: give it as the argument or with --body")
		}
		file = fl.String("body")
	}
	if len(secrets) == 0 {
		return errors.New("--secret is required")
	}
	for _, arg := range secrets {
		if arg == "@-" && (file == "" || file == "-") {
			return errors.New("--secret @- and the body cannot both come from standard input")
		}
		secret, err := readSecret(arg, stdin)
		if err != nil {
			return fmt.Errorf("--secret: %w", err)
		}
		v.secrets = append(v.secrets, secret)
	}
	header := make(http.Header)
	for _, line := range headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return errors.New(`--header: it must be like "x-tengine-signature: sha256=…"`)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	var err error
	if at := fl.String("at"); at != "" {
		if v.now, err = time.Parse(time.RFC3339, at); err != nil {
			return errors.New("--at: it must be a time such as 2030-01-31T12:00:00Z")
		}
	}
	if v.given, err = signer.FromHeader(header); err != nil {
		return fmt.Errorf("--header: %w", err)
	}
	if v.body, err = readInput(file, stdin); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return nil
}

// judge says for each scheme whether its signature is good. valid is true if
// one is there and none is wrong.
func (v *verification) judge() (text string, valid bool) {
	var b strings.Builder
	seen, wrong := 0, 0
	for _, scheme := range []struct {
		name    string
		present bool
		verify  func(body []byte) error
	}{
		{
			signer.HeaderTengine,
			v.given.Tengine+v.given.TenginePrevious+v.given.TengineNext != "",
			func(body []byte) error { return signer.VerifyTengine(v.given, body, v.secrets...) },
		},
		{
			signer.HeaderStandard,
			v.given.ID+v.given.Timestamp+v.given.Standard != "",
			func(body []byte) error { return signer.VerifyStandard(v.now, v.given, body, v.secrets...) },
		},
	} {
		if !scheme.present {
			fmt.Fprintf(&b, "%s: not given\n", scheme.name)
			continue
		}
		seen++
		if err := scheme.verify(v.body); err != nil {
			wrong++
			fmt.Fprintf(&b, "%s: WRONG: %s\n", scheme.name, v.explain(err, scheme.verify))
			continue
		}
		fmt.Fprintf(&b, "%s: valid\n", scheme.name)
	}
	return b.String(), seen > 0 && wrong == 0
}

// explain says why a signature is wrong and what to do. For a mismatch it tries
// the changes that happen to bodies on their way to whoever verifies them.
func (v *verification) explain(err error, verify func(body []byte) error) string {
	switch {
	case errors.Is(err, signer.ErrTooOld):
		return err.Error() + ". To verify a recorded request give the time it arrived with --at; on a live one, set the receiver's clock."
	case errors.Is(err, signer.ErrTooNew):
		return err.Error() + ". Set the clock of the receiver, or of the gateway."
	case !errors.Is(err, signer.ErrMismatch):
		return err.Error()
	}
	if verify(bytes.TrimRight(v.body, "\r\n")) == nil {
		return "the body has a line break at its end that was not sent. The file was saved with one; the rest is as it was signed."
	}
	if canonical, cerr := webhook.Canonical(v.body, true); cerr == nil && verify(canonical) == nil {
		return "the body was parsed and printed again, in another form. Verify the bytes as they arrived, before any JSON middleware."
	}
	return "another secret, or not the body as it was received. Is it the secret of this webhook, whole and without quotes? Was the secret rotated?"
}
