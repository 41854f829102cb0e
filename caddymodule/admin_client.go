package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/problem"
)

// addAdminFlags adds the flags that say where the running process is. They are
// those of "caddy reload" and "caddy stop".
func addAdminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "The address of the admin API, if it is not the default or in --config")
	cmd.Flags().StringP("config", "c", "", "The configuration file to read the address of the admin API from")
	cmd.Flags().StringP("adapter", "a", "", "The adapter of that file")
}

// adminClient asks the running process, over Caddy's admin API.
type adminClient struct {
	address caddy.NetworkAddress
	http    http.Client
}

// adminTime is how long an answer of the admin API may take.
const adminTime = time.Minute

// newAdminClient returns a client for the admin API that the flags of
// addAdminFlags name.
func newAdminClient(fl caddycmd.Flags) (*adminClient, error) {
	text, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
	if err != nil {
		return nil, fmt.Errorf("find the admin API: %w", err)
	}
	addr, err := caddy.ParseNetworkAddress(text)
	if err != nil || addr.PortRangeSize() > 1 {
		return nil, fmt.Errorf("the address of the admin API is %q: it must be like localhost:2019 or unix//run/caddy-admin.sock", text)
	}
	if addr.IsUnixNetwork() {
		addr.Host, _, _ = strings.Cut(addr.Host, "|") // behind it are the permissions of the socket
	}
	c := &adminClient{address: addr}
	c.http.Timeout = adminTime
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, addr.Network, addr.JoinHostPort(0))
		},
	}
	return c, nil
}

// do sends a request with a body of a media type, if there is one, and decodes
// the answer into answer, unless that is nil.
func (c *adminClient) do(ctx context.Context, method, path, mediaType, body string, answer any) error {
	text, err := c.ask(ctx, method, path, mediaType, body)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the answer of the running process: %w", err)
	}
	return nil
}

// ask sends a request and returns the body of its answer. An answer that is no
// success is an error that says what to do.
func (c *adminClient) ask(ctx context.Context, method, path, mediaType, body string) ([]byte, error) {
	resp, err := c.send(ctx, &c.http, method, path, mediaType, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of the admin API: %w", err)
	}
	if resp.StatusCode >= 400 {
		return text, answerError(resp, text)
	}
	return text, nil
}

// send sends a request. Caddy can want to be told its origin (enforce_origin), but
// where it does not it can refuse one that it is told: the origin is told if the
// request is refused without.
func (c *adminClient) send(ctx context.Context, client *http.Client, method, path, mediaType, body string) (*http.Response, error) {
	origin := "http://127.0.0.1" // what the admin API expects from a client without a port
	if !c.address.IsUnixNetwork() && !c.address.IsFdNetwork() {
		origin = "http://" + c.address.JoinHostPort(0)
	}
	for told := false; ; told = true {
		req, err := http.NewRequestWithContext(ctx, method, origin+"/webhook_gateway/"+path, strings.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("ask the admin API: %w", err)
		}
		if mediaType != "" {
			req.Header.Set("Content-Type", mediaType)
		}
		if told {
			req.Header.Set("Origin", origin)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("ask the admin API at %s: %w: is Caddy running there? --address or --config names another place", c.address, errors.Unwrap(err))
		}
		if told || resp.StatusCode != http.StatusForbidden {
			return resp, nil
		}
		_ = resp.Body.Close() // the second answer tells
	}
}

// maxAdminAnswer is the most that is read of an answer, in bytes.
const maxAdminAnswer = 64 << 20

// adminError is what the running process answered instead of a success.
type adminError struct {
	status int
	text   string
}

func (e *adminError) Error() string { return e.text }

// answerError makes an error of an answer that is no success: of a problem
// document, of an error of Caddy itself, or of something else.
func answerError(resp *http.Response, body []byte) error {
	e := &adminError{status: resp.StatusCode}
	var doc struct {
		problem.Document
		Error string `json:"error"` // Caddy's
	}
	if json.Unmarshal(body, &doc) != nil {
		doc.Document, doc.Error = problem.Document{}, ""
	}
	switch {
	case doc.Title != "":
		e.text = doc.Title + ": " + doc.Detail
		for _, it := range doc.Errors {
			e.text += "\n  " + itemText(it)
		}
	case doc.Error != "":
		e.text = "Caddy refused: " + doc.Error
	case resp.StatusCode == http.StatusNotFound:
		e.text = "the Caddy that runs there has no webhook gateway in it, or an older one"
	default:
		e.text = "the admin API answered " + resp.Status
	}
	return e
}

// itemText is an item of a problem in one line.
func itemText(it problem.Item) string {
	switch {
	case it.Pointer != "":
		return strings.TrimPrefix(it.Pointer, "#/") + ": " + it.Detail
	case it.Line != 0:
		return fmt.Sprintf("line %d: %s", it.Line, it.Detail)
	case it.Offset != nil:
		return fmt.Sprintf("byte %d: %s", *it.Offset, it.Detail)
	default:
		return it.Detail
	}
}
