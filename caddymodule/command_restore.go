package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tengineai/webhook-gateway/queue/badgerstore"
)

// newRestoreCommand makes "caddy webhook restore".
func newRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore --input <file>|- --dir <directory>",
		Short: "Makes a store of a backup",
		Long: `
Makes a store of a backup that "caddy webhook backup" has written. It needs no
running gateway.

--dir is the directory of the new store, that of "store badger { dir … }" in the
configuration. It must not exist or be empty. It is there only when the whole
backup has been read and was not damaged.

Run it as the user that Caddy runs as. Put the key that opens the secrets in its
place afterwards; the command says where that is. Never let two gateways run on
the same data: both would deliver. What was delivered after the backup was made
is delivered again.`,
		Example: `  caddy webhook restore --input gateway.backup --dir /var/lib/caddy/.local/share/caddy/webhook_gateway`,
		Args:    cobra.NoArgs,
		RunE:    caddycmd.WrapCommandFuncForCobra(cmdRestore),
	}
	cmd.Flags().StringP("input", "i", "", "The file with the backup, or - for standard input")
	cmd.Flags().String("dir", "", "The directory of the new store")
	return cmd
}

func cmdRestore(fl caddycmd.Flags) (int, error) {
	input, name := fl.String("input"), fl.String("dir")
	switch {
	case input == "":
		return caddy.ExitCodeFailedStartup, errors.New("--input is required: the file with the backup, or -")
	case name == "":
		return caddy.ExitCodeFailedStartup, errors.New("--dir is required: the directory of the new store")
	case input == "-" && term.IsTerminal(int(os.Stdin.Fd())):
		return caddy.ExitCodeFailedStartup, errors.New("standard input is a terminal: name a file with --input, or redirect standard input")
	}
	from := os.Stdin
	if input != "-" {
		f, err := os.Open(input)
		if err != nil {
			return caddy.ExitCodeFailedStartup, fmt.Errorf("restore: %w", err)
		}
		defer f.Close()
		from = f
	}
	dir, err := canonicalDir(name)
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("restore: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("restore: %w", err)
	}
	ctx, stop := untilEnded()
	defer stop()
	done := &progress{what: "read", log: os.Stderr, told: time.Now()}
	if err := badgerstore.Restore(ctx, dir, io.TeeReader(from, done)); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	store := StoreBadger{canonical: dir}
	fmt.Fprintf(os.Stderr, `restored %s into %s
Before the gateway starts on it, give it the key that opens the secrets: unless
secrets_key is set in the configuration, copy the key's file to
%s
What was delivered after the backup was made is delivered again.
`, humanize.IBytes(done.bytes), dir, store.SecretsKeyFile())
	return caddy.ExitCodeSuccess, nil
}
