package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

const (
	keyA = "key A, which is long enough for a test"
	keyB = "key B, which is long enough for a test"
	keyC = "key C, which is long enough for a test"
)

// withKeys are settings with keys that seal secrets.
func withKeys(t testing.TB, key, previous string) *gateway.Settings {
	t.Helper()
	s := settings(t)
	s.SecretsKey, s.PreviousSecretsKey = key, previous
	return s
}

// inStore opens the gateway of a directory for the time of fn.
func inStore(t *testing.T, dir string, fn func(g *gateway.Gateway, store queue.Store)) {
	t.Helper()
	g, store := mustOpen(t, dir, nil)
	fn(g, store)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// waitSealed waits until everything is sealed with one key. It looks at the
// proof of the keys, which then has one entry.
func waitSealed(t *testing.T, store queue.Store) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		rec, err := store.Record(t.Context(), queue.SealRecord, "keys")
		if err != nil {
			t.Fatal(err)
		}
		if rec.Version > 2 && strings.Count(string(rec.Data), `"`) == 4 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not all is sealed anew: %s", rec.Data)
		}
	}
}

func TestNothingOfAWebhookIsReadableOnDisk(t *testing.T) {
	dir := t.TempDir()
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		spec := someSpec()
		spec.Secret = "canary-of-the-secret"
		spec.URL = "http://127.0.0.1:9/canary-of-the-url"
		spec.Headers = []webhook.Header{{Name: "Authorization", Value: "canary-of-the-header"}}
		w := mustCreate(t, g, spec)
		rec, err := store.Record(t.Context(), queue.WebhookRecord, w.ID)
		if err != nil || strings.Contains(string(rec.Data), "canary") {
			t.Errorf("the record holds a canary, or %v", err)
		}
	})
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "canary-of") {
			t.Errorf("%s holds a canary", d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGeneratedKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets_key")
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening makes a key: %v", err)
		}
		mustApply(t, g, settings(t))
		mustCreate(t, g, someSpec())
	})
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	refused := func(what string, s *gateway.Settings, parts ...string) {
		t.Helper()
		inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
			_, err := g.Apply(t.Context(), s)
			for _, part := range parts {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %v, want an error about %q", what, err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), strings.TrimSpace(string(text))) {
				t.Errorf("%s: the error holds the key", what)
			}
		})
	}
	refused("another key", withKeys(t, keyA, ""), "another key", "secrets_key <new> <previous>")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused("no file", settings(t), file, "missing", "backup")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a new key was made although the old one is needed")
	}
	if err := os.WriteFile(file, text[:5], 0o600); err != nil {
		t.Fatal(err)
	}
	refused("half a file", settings(t), "cut short")
	if err := os.WriteFile(file, []byte(keyB+" and then some more"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("another file", settings(t), "backup")

	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyA, strings.TrimSpace(string(text))))
		waitSealed(t, store)
	})
	refused("the generated key of before", settings(t), "sealed with another key")
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) { mustApply(t, g, withKeys(t, keyA, "")) })
}

func TestKeyIsChangedWhileTheGatewayRuns(t *testing.T) {
	dir := t.TempDir()
	const webhooks = 600 // more than a page
	ids := make([]string, webhooks)
	versions := make([]string, webhooks)
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		first := withKeys(t, keyA, "")
		first.MaxWebhooks = webhooks + 16 // one that is being created can count twice for a moment
		gen := mustApply(t, g, first)
		var creating sync.WaitGroup
		for w := range 16 {
			creating.Go(func() {
				for i := w; i < webhooks; i += 16 {
					spec := someSpec()
					spec.Description = fmt.Sprint(i)
					w, _, err := g.CreateWebhook(context.Background(), ofOne, "proj_1", spec)
					if err != nil {
						t.Error(err)
					}
					ids[i], versions[i] = w.ID, w.Version
				}
			})
		}
		creating.Wait()

		if _, err := g.Apply(t.Context(), withKeys(t, keyB, "")); err == nil || !strings.Contains(err.Error(), "another key") {
			t.Errorf("a reload with a wrong key: %v", err)
		}
		if _, err := g.Apply(t.Context(), withKeys(t, keyB, keyC)); err == nil {
			t.Error("a reload with two wrong keys was taken")
		}
		if _, err := g.Webhook(t.Context(), ofOne, ids[0]); err != nil {
			t.Errorf("after a refused reload: %v", err)
		}

		mustApply(t, g, withKeys(t, keyB, keyA))
		g.Withdraw(gen)
		for i := range 50 { // while all is sealed anew
			w, err := g.ChangeWebhook(t.Context(), ofOne, ids[i], versions[i], func(s *gateway.WebhookSpec) { s.Description = "changed" })
			if err != nil {
				t.Fatal(err)
			}
			versions[i] = w.Version
		}
		waitSealed(t, store)
		for i, id := range ids {
			if w, err := g.Webhook(t.Context(), ofOne, id); err != nil || w.Version != versions[i] {
				t.Fatalf("webhook %d: version %q, want %q, %v", i, w.Version, versions[i], err)
			}
		}
	})
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
		if _, err := g.Apply(t.Context(), withKeys(t, keyA, "")); err == nil {
			t.Error("the previous key still opens the store")
		}
	})
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
		mustApply(t, g, withKeys(t, keyB, ""))
		for i, id := range ids {
			w, err := g.Webhook(t.Context(), ofOne, id)
			if want := map[bool]string{true: "changed", false: fmt.Sprint(i)}[i < 50]; err != nil || w.Description != want {
				t.Fatalf("webhook %d: %q, %v", i, w.Description, err)
			}
		}
	})
}

func TestWithdrawnKeyIsNotNeededAfterwards(t *testing.T) {
	dir := t.TempDir()
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		mustCreate(t, g, someSpec())
		proof := func() queue.Record {
			rec, err := store.Record(t.Context(), queue.SealRecord, "keys")
			if err != nil {
				t.Fatal(err)
			}
			return rec
		}
		first := string(proof().Data[:len(`{"sealed":["`)+6]) // to the id of key A
		gen := mustApply(t, g, withKeys(t, keyB, keyA))
		eventually(t, "the change begins", func() bool { return proof().Version > 1 })
		g.Withdraw(gen) // another app failed to start
		eventually(t, "all is sealed with the first key", func() bool {
			data := string(proof().Data)
			return strings.HasPrefix(data, first) && strings.Count(data, `"`) == 4
		})
		mustCreate(t, g, someSpec())
	})
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		if list, _, err := g.Webhooks(t.Context(), ofOne, "proj_1", wholePage); err != nil || len(list) != 2 {
			t.Errorf("%d webhooks, %v", len(list), err)
		}
	})
}

func TestChangeOfTheKeyGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		for range 90 {
			mustCreate(t, g, someSpec())
		}
		mustApply(t, g, withKeys(t, keyB, keyA)) // and closed at once
	})
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyB, keyA))
		waitSealed(t, store)
		if list, _, err := g.Webhooks(t.Context(), ofOne, "proj_1", gateway.Page{Limit: 200}); err != nil {
			t.Errorf("%d webhooks, %v", len(list), err)
		}
	})
	inStore(t, dir, func(g *gateway.Gateway, _ queue.Store) { mustApply(t, g, withKeys(t, keyB, "")) })
}

// TestRecordOfAnotherWebhookIsNotTaken swaps the sealed data of two webhooks.
func TestRecordOfAnotherWebhookIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	var a, b gateway.Webhook
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		a, b = mustCreate(t, g, someSpec()), mustCreate(t, g, someSpec())
		ofA, err := store.Record(t.Context(), queue.WebhookRecord, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		ofA.ID, ofA.Version = b.ID, 1
		if _, err := store.PutRecord(t.Context(), ofA); err != nil {
			t.Fatal(err)
		}
	})
	inStore(t, dir, func(g *gateway.Gateway, store queue.Store) {
		mustApply(t, g, withKeys(t, keyA, ""))
		list, _, err := g.Webhooks(t.Context(), ofOne, "proj_1", wholePage)
		if err != nil || len(list) != 1 || list[0].ID != a.ID {
			t.Errorf("%v, %v, want the webhook whose record is its own", list, err)
		}
	})
}

// TestKeysStayOutOfTheLog looks for the keys in what a change of them logs.
func TestKeysStayOutOfTheLog(t *testing.T) {
	dir := t.TempDir()
	store, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(&said)), zap.DebugLevel)
	g, err := gateway.Open(t.Context(), gateway.Options{Store: store, Owner: "test", Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, g, withKeys(t, keyA, ""))
	spec := someSpec()
	spec.Secret = "canary-of-the-secret"
	mustCreate(t, g, spec)
	mustApply(t, g, withKeys(t, keyB, keyA))
	waitSealed(t, store)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{keyA, keyB, "canary"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if !strings.Contains(said.String(), "the previous one is not needed any more") {
		t.Errorf("the log does not say when the change has ended:\n%s", said.String())
	}
}

// TestAChangeOfTheKeyWaitsForWhatIsBeingSealedWithTheFormerOne changes the key while
// a webhook that is sealed already is on its way to the store.
func TestAChangeOfTheKeyWaitsForWhatIsBeingSealedWithTheFormerOne(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.open(withKeys(t, keyA, ""))
	sealed, write := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	s.store.Inject(func(method string) (f queuetest.Fault) {
		if method == "PutRecord" && first.CompareAndSwap(false, true) {
			f.Before = func() {
				close(sealed)
				<-write
			}
		}
		return f
	})
	var creating sync.WaitGroup
	creating.Go(func() {
		if _, _, err := s.g.CreateWebhook(context.Background(), ofOne, "proj_1", someSpec()); err != nil {
			t.Error(err)
		}
	})
	<-sealed
	mustApply(t, s.g, withKeys(t, keyB, keyA))
	time.Sleep(100 * time.Millisecond) // long enough to seal nothing anew
	close(write)
	creating.Wait()
	waitSealed(t, s.store)
	s.close()

	s.open(withKeys(t, keyB, ""))
	if list, _, err := s.g.Webhooks(t.Context(), ofOne, "proj_1", wholePage); err != nil || len(list) != 1 {
		t.Errorf("%d webhooks, %v, want the one that was created", len(list), err)
	}
	s.close()
}
