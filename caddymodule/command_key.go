package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// newKeyCommand makes "caddy webhook key".
func newKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key <command>",
		Short: "Creates, lists and revokes API keys of the running gateway",
		Long: `
Creates, lists and revokes API keys while the gateway runs. They are kept in its
store: a reload or a restart does not end them. Keys of the configuration
(api_key) are listed too; they end when they are removed there.`,
	}
	showsHelp(cmd)
	cmd.AddCommand(newKeyCreateCommand(), newKeyListCommand(), newKeyRevokeCommand())
	return cmd
}

func newKeyCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create <name> [--scope <scope>]... [--project <id>]... [--expires <duration|time>]",
		Short: "Creates an API key and prints its token once",
		Long: `
Creates an API key. Its token is printed on standard output, alone, so that it
can be piped to where it belongs. It is not kept, only its hash is: a token that
is lost cannot be shown again. Revoke its key then.

--scope is what the key may do: ingest (publish events), read, manage. The
default is read and manage. --project limits the key to projects; the default is
every project. Both can be given several times or as comma-separated lists.

--expires is when the key ends by itself: a duration such as 90d or 12h, or a
time such as 2030-01-31T00:00:00Z. The default is never.`,
		Example: `  caddy webhook key create billing --scope ingest > billing.key
  caddy webhook key create acme --project proj_123 --scope read --expires 90d`,
		Args: cobra.MaximumNArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(cmdKeyCreate),
	}
	cmd.Flags().String("name", "", "The name of the key, instead of the argument")
	cmd.Flags().StringSlice("scope", nil, "What the key may do: ingest, read, manage")
	cmd.Flags().StringSlice("project", nil, "The projects that the key is for")
	cmd.Flags().String("expires", "", "When the key ends: a duration or an RFC 3339 time")
	addAdminFlags(cmd)
	return cmd
}

func cmdKeyCreate(fl caddycmd.Flags) (int, error) {
	name, err := keyNameOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	wanted := NewKey{Name: name}
	scopes, _ := fl.GetStringSlice("scope") // the flag exists and has this type
	for _, scope := range scopes {
		wanted.Scopes = append(wanted.Scopes, gateway.Scope(scope))
	}
	wanted.Projects, _ = fl.GetStringSlice("project")
	if slices.Equal(wanted.Projects, []string{webhook.AllProjects}) {
		wanted.Projects = nil
	}
	if wanted.ExpiresAt, err = expiry(fl.String("expires"), time.Now()); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var created AdminKey
	if err := admin.do(context.Background(), http.MethodPost, "keys", "application/json", string(body), &created); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("create API key: %w", err)
	}
	if _, err := fmt.Fprintln(os.Stdout, created.Token); err != nil {
		return printed(0, fmt.Errorf("%w: the token of API key %s is lost: revoke the key and create another one", err, created.Name))
	}
	fmt.Fprintf(os.Stderr, "API key %s: %s, for %s, %s. Its token above is not shown again.\n",
		created.Name, scopeText(created.Scopes), projectText(created.Projects), expiryText(&created))
	return caddy.ExitCodeSuccess, nil
}

// keyNameOf returns the name of a key from the argument or --name.
func keyNameOf(fl caddycmd.Flags) (string, error) {
	name, arg := fl.String("name"), fl.Arg(0)
	switch {
	case name != "" && arg != "":
		return "", errors.New("the name is there twice: give it as the argument or with --name")
	case name == "" && arg == "":
		return "", errors.New("the name of the key is missing")
	}
	return name + arg, nil
}

// expiry reads when a key ends; the zero time for never.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return time.Time{}, errors.New("--expires: it must be a duration such as 90d or a time such as 2030-01-31T00:00:00Z")
	}
	return now.Add(d).UTC().Truncate(time.Second), nil
}

func newKeyListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [--json]",
		Short: "Lists the API keys",
		Long: `
Lists the API keys of the running gateway: those of its configuration and those
that were created with "caddy webhook key create". Tokens are not shown; the
gateway does not have them.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdKeyList),
	}
	cmd.Flags().Bool("json", false, "Print JSON")
	addAdminFlags(cmd)
	return cmd
}

func cmdKeyList(fl caddycmd.Flags) (int, error) {
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	text, err := admin.ask(context.Background(), http.MethodGet, "keys", "", "")
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("list API keys: %w", err)
	}
	if fl.Bool("json") {
		return printed(os.Stdout.Write(text))
	}
	var keys AdminKeys
	if err := json.Unmarshal(text, &keys); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("list API keys: %w", err)
	}
	return printed(0, printKeys(os.Stdout, keys.Data))
}

func printKeys(w io.Writer, keys []AdminKey) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(w, `there are no API keys; "caddy webhook key create" makes one`)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSCOPES\tPROJECTS\tCREATED\tEXPIRES")
	for i := range keys {
		k := &keys[i]
		created := "in the configuration"
		if k.CreatedAt != nil {
			created = k.CreatedAt.Format(time.DateOnly)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", k.Name, scopeText(k.Scopes), projectText(k.Projects), created, expiryText(k))
	}
	return table.Flush()
}

func scopeText(scopes []gateway.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

func projectText(projects []string) string {
	if len(projects) == 0 {
		return "every project"
	}
	return strings.Join(projects, " ")
}

func expiryText(k *AdminKey) string {
	switch {
	case k.ExpiresAt == nil:
		return "never expires"
	case k.Expired:
		return "expired " + k.ExpiresAt.Format(time.RFC3339)
	default:
		return "expires " + k.ExpiresAt.Format(time.RFC3339)
	}
}

func newKeyRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke <name>",
		Short: "Revokes an API key, at once",
		Long: `
Revokes an API key that was created with "caddy webhook key create". When the
command has ended, no request with its token is let in. A key of the
configuration ends when it is removed there and Caddy reloads.`,
		Args: cobra.MaximumNArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(cmdKeyRevoke),
	}
	cmd.Flags().String("name", "", "The name of the key, instead of the argument")
	addAdminFlags(cmd)
	return cmd
}

func cmdKeyRevoke(fl caddycmd.Flags) (int, error) {
	name, err := keyNameOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if err := admin.do(context.Background(), http.MethodDelete, "keys/"+url.PathEscape(name), "", "", nil); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("revoke API key %s: %w", name, err)
	}
	fmt.Fprintf(os.Stderr, "API key %s is revoked.\n", name)
	return caddy.ExitCodeSuccess, nil
}

// printed is the end of a command that has printed its answer.
func printed(_ int, err error) (int, error) {
	if err != nil {
		return caddy.ExitCodeFailedQuit, fmt.Errorf("print: %w", err)
	}
	return caddy.ExitCodeSuccess, nil
}
