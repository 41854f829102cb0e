package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// TestRecordsAreAsStoresHaveThem holds the forms that stores are full of: each file
// of testdata/records is the data of a record as some version wrote it. Never change
// one; what is written otherwise from now on gets a file of its own.
func TestRecordsAreAsStoresHaveThem(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 5, 123456789, time.UTC) }
	for file, c := range map[string]struct {
		value any
		read  func(data []byte) (any, error)
		write func(value any) ([]byte, error)
	}{
		"webhook.json": {value: stored{revision: 7, owedEvent: "evt_01", sub: &webhook.Subscription{
			ID: "wh_a", ProjectID: "proj_1", State: webhook.Disabled, DisabledReason: webhook.ReasonFailing,
			URL: "https://example.com/hook?a=1&b=2", Description: "d", Events: []string{"project.*", "api_key.created"},
			Filters: map[string]json.RawMessage{"project.name": json.RawMessage(`["My Project",1]`)}, Filter: `type != ""`,
			Headers: []webhook.Header{{Name: "X-A", Value: "1"}, {Name: "Authorization", Value: "Bearer t"}},
			Retry:   []time.Duration{time.Second, time.Minute}, Timeout: 10 * time.Second,
			Rate: webhook.Rate{N: 5, Per: time.Minute}, Concurrency: 3,
			Secrets: []webhook.Secret{
				{Value: "whsec_new", Role: webhook.SecretPrimary},
				{Value: "whsec_old", Role: webhook.SecretPrevious, ExpiresAt: at(9)},
			},
			CreatedAt: at(1), UpdatedAt: at(2),
		}}, read: readStored, write: writeStored},
		"webhook-plain.json": {value: stored{revision: 1, sub: &webhook.Subscription{
			ID: "wh_a", ProjectID: "proj_1", State: webhook.Active, URL: "https://example.com/", Events: []string{"*"},
			Retry: []time.Duration{}, Secrets: []webhook.Secret{{Value: "whsec_new", Role: webhook.SecretPrimary}},
			CreatedAt: at(1), UpdatedAt: at(1),
		}}, read: readStored, write: writeStored},
		"webhook-static.json": {value: stored{revision: 1, sub: &webhook.Subscription{
			ID: "wh_a", ProjectID: "proj_1", Static: true, State: webhook.Active, CreatedAt: at(1), UpdatedAt: at(1),
		}}, read: readStored, write: writeStored},
		"webhook-parked.json": {value: stored{revision: 2, parkedAt: at(3), sub: &webhook.Subscription{
			ID: "wh_a", ProjectID: "proj_1", Static: true, State: webhook.Paused, CreatedAt: at(1), UpdatedAt: at(2),
		}}, read: readStored, write: writeStored},
		"health.json": {
			value: streak{First: at(1), Count: 20, Target: 1<<64 - 1},
			read:  readAs[streak], write: json.Marshal,
		},
		"key.json": {
			value: Key{
				Name: "wh_a", Hash: HashToken("a token"), Scopes: Scopes, Projects: []string{"proj_1", "proj_2"},
				CreatedAt: at(1), ExpiresAt: at(2),
			},
			read: readKey, write: writeKey,
		},
		"key-plain.json": {
			value: Key{Name: "wh_a", Hash: HashToken("a token"), Scopes: []Scope{ScopeRead}, CreatedAt: at(1)},
			read:  readKey, write: writeKey,
		},
		"replay-running.json": {
			value: replayState{Replay{
				ID: "rpl_01", WebhookID: "wh_a", ProjectID: "proj_1", Since: at(1), Until: at(2),
				Status: []webhook.Status{webhook.Failed, webhook.Skipped}, State: ReplayRunning, Count: 12, Done: 3, CreatedAt: at(3),
			}, true, 1, "cursor"},
			read: readState, write: writeState,
		},
		"replay-done.json": {
			value: replayState{Replay{
				ID: "rpl_01", WebhookID: "wh_a", ProjectID: "proj_1", Since: at(1), Until: at(2),
				Status: []webhook.Status{webhook.Failed}, State: ReplayDone, Count: 12, Done: 12, CreatedAt: at(3), FinishedAt: at(4),
			}, true, 0, ""},
			read: readState, write: writeState,
		},
		"retry.json": {value: owedRetry{Attempts: 4}, read: readAs[owedRetry], write: json.Marshal},
		"seal.json":  {value: canary{Sealed: [][]byte{golden(t, "seal.b64")}}, read: readAs[canary], write: json.Marshal},
	} {
		t.Run(file, func(t *testing.T) {
			want := bytes.TrimSuffix(read(t, file), []byte("\n"))
			got, err := c.write(c.value)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("written: %v\n%s\nwant\n%s", err, got, want)
			}
			value, err := c.read(want)
			if err != nil || !reflect.DeepEqual(value, c.value) {
				t.Errorf("read: %v\n%+v\nwant\n%+v", err, value, c.value)
			}
		})
	}
}

// TestSealedRecordsOpen: what was sealed once opens with the same text of the key.
func TestSealedRecordsOpen(t *testing.T) {
	k, err := newSealKey("the text of a secrets key")
	if err != nil {
		t.Fatal(err)
	}
	if err := (sealKeys{primary: k}).check(canary{Sealed: [][]byte{golden(t, "seal.b64")}}); err != nil {
		t.Errorf("the proof of the key: %v", err)
	}
	var v vault
	v.learn(k)
	plain, err := v.open(&queue.Record{Kind: queue.WebhookRecord, ID: "wh_a", ProjectID: "proj_1", Data: golden(t, "webhook.b64")})
	if want := bytes.TrimSuffix(read(t, "webhook.json"), []byte("\n")); err != nil || !bytes.Equal(plain, want) {
		t.Errorf("a webhook: %v\n%s\nwant\n%s", err, plain, want)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "records", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden returns what a file holds in base64.
func golden(t *testing.T, file string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(read(t, file))))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readAs[T any](data []byte) (any, error) {
	var v T
	err := json.Unmarshal(data, &v)
	return v, err
}

func readStored(data []byte) (any, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return *r.stored(&queue.Record{ID: "wh_a", ProjectID: "proj_1"}), nil
}

func writeStored(v any) ([]byte, error) {
	h := v.(stored)
	return json.Marshal(recordOf(&h))
}

func readKey(data []byte) (any, error) {
	k, err := decodeKey(queue.Record{ID: "wh_a", Data: data})
	if err != nil {
		return nil, err
	}
	return *k, nil
}

func writeKey(v any) ([]byte, error) {
	k := v.(Key)
	rec, err := encodeKey(&k)
	return rec.Data, err
}

// replayState is what is kept of a replayRun.
type replayState struct {
	Replay
	Counted bool
	Pass    int
	Cursor  string
}

func readState(data []byte) (any, error) {
	run, err := readReplay(queue.Record{Data: data})
	if err != nil {
		return nil, err
	}
	return replayState{run.Replay, run.counted, run.pass, run.cursor}, nil
}

func writeState(v any) ([]byte, error) {
	s := v.(replayState)
	return (&replayRun{Replay: s.Replay, counted: s.Counted, pass: s.Pass, cursor: s.Cursor}).encode()
}
