package caddymodule

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "webhook",
		Usage: "<command>",
		Short: "Commands for the webhook gateway",
		Long: `
Commands for the webhook gateway: tools to try it with and to run it.`,
		CobraFunc: func(cmd *cobra.Command) {
			showsHelp(cmd)
			cmd.AddCommand(
				newDemoCommand(),
				newListenCommand(),
				newSendCommand(),
				newStatusCommand(),
				newVerifyCommand(),
				newKeyCommand(),
				newBackupCommand(),
				newRestoreCommand(),
			)
		},
	})
}

// showsHelp makes cmd, which has commands below it, show its help when it is
// called alone, and fail on a command that is not there: Cobra by itself would
// show the help and exit with success.
func showsHelp(cmd *cobra.Command) {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// untilEnded returns a context that ends when the process is told to end, also by
// a terminal that is closed, unless nohup says otherwise.
func untilEnded() (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), signals...)
}
