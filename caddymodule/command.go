package caddymodule

import (
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
