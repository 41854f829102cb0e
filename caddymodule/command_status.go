package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// newStatusCommand makes "caddy webhook status".
func newStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--json]",
		Short: "Shows how the running gateway does",
		Long: `
Shows the state of the running gateway: whether it takes events and sends them,
its deliveries by status, and how long the oldest one that is due has waited.

The exit status is 1 if no gateway answers or if it takes no events.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdStatus),
	}
	cmd.Flags().Bool("json", false, "Print JSON")
	addAdminFlags(cmd)
	return cmd
}

func cmdStatus(fl caddycmd.Flags) (int, error) {
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	text, err := admin.ask(context.Background(), http.MethodGet, "status", "", "")
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var st Status
	if err := json.Unmarshal(text, &st); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("read the answer of the running process: %w", err)
	}
	if fl.Bool("json") {
		_, err = os.Stdout.Write(text)
	} else {
		err = printStatus(os.Stdout, &st, time.Now())
	}
	if st.Status == "unavailable" {
		return caddy.ExitCodeFailedStartup, err
	}
	return printed(0, err)
}

func printStatus(w io.Writer, st *Status, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	line("status", st.Status)
	if st.Problem != "" {
		line("problem", st.Problem)
	}
	for _, status := range slices.Sorted(maps.Keys(st.Deliveries)) {
		line(string(status), humanize.Comma(st.Deliveries[status]))
	}
	if st.OldestDue != nil && now.After(*st.OldestDue) {
		line("longest wait", now.Sub(*st.OldestDue).Round(time.Second))
	}
	if st.FreeBytes >= 0 {
		line("free space", humanize.IBytes(uint64(st.FreeBytes)))
	}
	if st.LostCommits > 0 {
		line("lost commits", st.LostCommits)
	}
	if st.CheckedAt != nil {
		line("last checked", st.CheckedAt.Format(time.RFC3339))
	}
	if st.DamagedRecords > 0 {
		line("damaged records", st.DamagedRecords)
	}
	return table.Flush()
}
