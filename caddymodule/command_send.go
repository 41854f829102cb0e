package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// newSendCommand makes "caddy webhook send".
func newSendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send [<file>] [--type <type>] [--project <id>] [--data <json>] [--id <id>]",
		Short: "Publishes events to the running gateway",
		Long: `
Publishes events to the running gateway, over Caddy's admin API. No API key is
needed. When the command has ended well, the events are on disk and on their
way; it prints their ids and how many deliveries each has.

With --type it publishes one event. --data is its data, as JSON, as @file, or as
@- to be read from standard input; without it a sample of the type is sent.

Without --type it reads events in the form that webhook_ingest takes, one or
several or an array of them, from the file or from standard input.

The exit status is 1 if an event was refused.`,
		Example: `  caddy webhook send --type project.created --project proj_123
  caddy webhook send --type api_key.created --project proj_123 --data '{"id":"key_1","name":"CI"}'
  caddy webhook send events.ndjson`,
		Args: cobra.MaximumNArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(cmdSend),
	}
	cmd.Flags().StringP("type", "t", "", "The type of the event")
	cmd.Flags().StringP("project", "p", "", "The id of its project")
	cmd.Flags().StringP("data", "d", "", "Its data: JSON, @file or @-")
	cmd.Flags().String("id", "", "Its id; the gateway makes one if there is none")
	cmd.Flags().Bool("json", false, "Print the answer as JSON")
	addAdminFlags(cmd)
	return cmd
}

func cmdSend(fl caddycmd.Flags) (int, error) {
	mediaType, body, err := eventsToSend(fl, os.Stdin)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	admin, err := newAdminClient(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	text, err := admin.ask(context.Background(), http.MethodPost, "events", mediaType, body)
	if fl.Bool("json") && len(text) > 0 {
		if _, werr := os.Stdout.Write(text); werr != nil {
			return printed(0, werr)
		}
		if err != nil {
			return caddy.ExitCodeFailedStartup, errors.New("the events were not taken")
		}
		return sendResult(io.Discard, text)
	}
	if e, ok := errors.AsType[*adminError](err); ok && e.status == http.StatusUnprocessableEntity && isBatchAnswer(text) {
		err = nil // each event has an error of its own
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("send: %w", err)
	}
	return sendResult(os.Stdout, text)
}

// eventsToSend returns what is to be sent and its media type.
func eventsToSend(fl caddycmd.Flags, stdin io.Reader) (mediaType, body string, err error) {
	file := fl.Arg(0)
	if fl.String("type") == "" {
		for _, name := range []string{"project", "data", "id"} {
			if fl.Changed(name) {
				return "", "", fmt.Errorf("--%s describes one event: give its --type, too", name)
			}
		}
		text, err := readInput(file, stdin)
		if err != nil {
			return "", "", err
		}
		return joinEvents(text)
	}
	if file != "" {
		return "", "", errors.New("a file holds whole events: leave out --type, or give the data with --data @file")
	}
	event, err := eventOf(fl, stdin)
	if err != nil {
		return "", "", err
	}
	return "application/json", event, nil
}

// eventOf makes an event of the flags. Its data goes through as it is written:
// the gateway judges every number and member of it.
func eventOf(fl caddycmd.Flags, stdin io.Reader) (string, error) {
	data := fl.String("data")
	if path, isFile := strings.CutPrefix(data, "@"); isFile {
		text, err := readInput(path, stdin)
		if err != nil {
			return "", fmt.Errorf("--data: %w", err)
		}
		data = string(text)
	} else if !fl.Changed("data") {
		sample, ok := webhook.Builtin().Any().Lookup(fl.String("type"))
		if !ok {
			return "", errors.New(`--type: it must be lower-case words joined by dots, such as project.created`)
		}
		data = string(sample.Sample)
	}
	if !json.Valid([]byte(data)) {
		return "", errors.New("--data is not JSON")
	}
	event := `{"type":` + quoted(fl.String("type")) + `,"data":` + data
	if id := fl.String("project"); id != "" {
		event += `,"project_id":` + quoted(id)
	}
	if id := fl.String("id"); id != "" {
		event += `,"id":` + quoted(id)
	}
	return event + "}", nil
}

func quoted(text string) string {
	b, _ := json.Marshal(text) // a string always has a JSON text
	return string(b)
}

// maxInput is the most that is read of a file or of standard input, in bytes.
const maxInput = 64 << 20

// readInput reads a file, or standard input if the path is empty or "-".
func readInput(path string, stdin io.Reader) ([]byte, error) {
	if path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxInput+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxInput:
		return nil, fmt.Errorf("it is over %d bytes", maxInput)
	}
	return text, nil
}

// joinEvents returns a text of one or more JSON values as the body of a request.
func joinEvents(text []byte) (mediaType, body string, err error) {
	var values []json.RawMessage
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var value json.RawMessage
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", "", fmt.Errorf("event %d is not JSON: %w", len(values)+1, err)
		}
		values = append(values, value)
	}
	switch len(values) {
	case 0:
		return "", "", errors.New("there is no event: give one with --type, in a file or on standard input")
	case 1:
		return "application/json", string(text), nil
	}
	var lines bytes.Buffer
	for _, value := range values {
		if err := json.Compact(&lines, value); err != nil {
			return "", "", err
		}
		lines.WriteByte('\n')
	}
	return "application/x-ndjson", lines.String(), nil
}

// isBatchAnswer says whether an answer has a result for each event.
func isBatchAnswer(text []byte) bool {
	var answer batchAnswer
	return json.Unmarshal(text, &answer) == nil && len(answer.Results) > 0
}

// sendResult prints what became of the events.
func sendResult(w io.Writer, text []byte) (int, error) {
	var answer struct {
		ID         string
		Deliveries int
		Duplicate  bool
		Results    []struct {
			ID         string
			Status     gateway.Result
			Deliveries int
			Error      problem.Document
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("read the answer of the running process: %w", err)
	}
	if answer.Results == nil {
		_, err := fmt.Fprintln(w, sentText(answer.ID, answer.Deliveries, answer.Duplicate))
		return printed(0, err)
	}
	var lines strings.Builder
	refused := 0
	for i, r := range answer.Results {
		if r.Status != gateway.Rejected {
			fmt.Fprintln(&lines, sentText(r.ID, r.Deliveries, r.Status == gateway.Duplicate))
			continue
		}
		refused++
		fmt.Fprintf(&lines, "event %d %s refused: %s: %s\n", i+1, r.ID, r.Error.Title, r.Error.Detail)
		for _, it := range r.Error.Errors {
			fmt.Fprintln(&lines, "  "+itemText(it))
		}
	}
	_, err := io.WriteString(w, lines.String())
	if refused > 0 {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("%d of %d events were refused", refused, len(answer.Results))
	}
	return printed(0, err)
}

func sentText(id string, deliveries int, duplicate bool) string {
	text := fmt.Sprintf("%s %d deliveries", id, deliveries)
	if deliveries == 1 {
		text = id + " 1 delivery"
	}
	if duplicate {
		text += " (it was sent before; nothing new is sent)"
	}
	return text
}
