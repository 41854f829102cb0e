package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// newBackupCommand makes "caddy webhook backup".
func newBackupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup [--output <file>|-]",
		Short: "Backs up the store of the running gateway",
		Long: `
Writes a backup of the running gateway's store: events, deliveries, attempts,
webhooks and API keys as they are at one moment. The gateway goes on working.

--output is the file. It appears under its name, readable by its owner only, when
the whole backup is on disk; a file that is there is replaced then. The default
is standard output, which may not be a terminal. Only exit status 0 means that
the backup is whole.

Secrets of webhooks are sealed in a backup, and the key that opens them is not in
it. The command says where the key is: keep a copy of it, not beside the backup.
Bodies of events are in the backup as they were published.

"caddy webhook restore" makes a store of a backup.`,
		Example: `  caddy webhook backup --output gateway.backup
  caddy webhook backup | gzip > gateway.backup.gz`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdBackup),
	}
	cmd.Flags().StringP("output", "o", "-", "The file to write, or - for standard output")
	addAdminFlags(cmd)
	return cmd
}

func cmdBackup(fl caddycmd.Flags) (int, error) {
	output := fl.String("output")
	if output == "-" && term.IsTerminal(int(os.Stdout.Fd())) {
		return caddy.ExitCodeFailedStartup, errors.New("a backup is not for a terminal: name a file with --output, or redirect standard output")
	}
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	ctx, stop := untilEnded()
	defer stop()
	var st Status
	if err := admin.do(ctx, http.MethodGet, "status", "", "", &st); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("back up: %w", err)
	}

	done := &progress{what: "backed up", log: os.Stderr, told: time.Now()}
	name := output
	if output == "-" {
		name = "standard output"
		err = admin.stream(ctx, "backup", io.MultiWriter(os.Stdout, done))
	} else {
		err = writeWhole(output, func(w io.Writer) error {
			return admin.stream(ctx, "backup", io.MultiWriter(w, done))
		})
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("back up: %w", err)
	}
	fmt.Fprintf(os.Stderr, "backed up %s to %s\n", humanize.IBytes(done.bytes), name)
	key := "what secrets_key in the configuration stands for"
	if st.SecretsKeyFile != "" {
		key = st.SecretsKeyFile
	}
	fmt.Fprintf(os.Stderr, "The key that opens the secrets in it is not in it. Keep a copy, not beside the backup: %s\n", key)
	return caddy.ExitCodeSuccess, nil
}

// writeWhole makes a file, for its owner only, or replaces one. It gets its name
// when all of it is on disk.
func writeWhole(name string, write func(io.Writer) error) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file: name one, or use - and redirect standard output", name)
	default: // a link stays one
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.unfinished")
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDirectory(filepath.Dir(name))
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// progress counts what is written to it and tells from time to time.
type progress struct {
	what  string
	log   io.Writer
	bytes uint64
	told  time.Time
}

const progressEvery = 5 * time.Second

func (p *progress) Write(b []byte) (int, error) {
	p.bytes += uint64(len(b))
	if now := time.Now(); now.Sub(p.told) >= progressEvery {
		p.told = now
		fmt.Fprintf(p.log, "%s %s so far\n", p.what, humanize.IBytes(p.bytes))
	}
	return len(b), nil
}
