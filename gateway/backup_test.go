package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
)

// damagedStore is a store in which the last check found damage.
type damagedStore struct{ *badgerstore.Store }

func (s damagedStore) Stats() queue.Stats {
	st := s.Store.Stats()
	st.Damaged = 2
	return st
}

func TestHealthIsDegradedByDamage(t *testing.T) {
	dir := t.TempDir()
	store, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Open(t.Context(), gateway.Options{
		Store: damagedStore{store}, Owner: "test", Logger: zap.NewNop(), KeyFile: filepath.Join(dir, "secrets_key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	mustApply(t, g, settings(t))
	if h := g.Health(); h.Status != gateway.HealthDegraded || h.Checks["store"].Detail != "2 records are damaged on disk" {
		t.Errorf("got %+v", h)
	}
}

func TestOneBackupAtATime(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	r, w := io.Pipe()
	first := make(chan error)
	go func() { first <- errors.Join(g.Backup(t.Context(), w), w.Close()) }()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it is under way
		t.Fatal(err)
	}
	if err := g.Backup(t.Context(), io.Discard); problem.From(err).Code != problem.Conflict {
		t.Errorf("a second backup: %v, want a conflict", err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	var third bytes.Buffer
	if err := g.Backup(t.Context(), &third); err != nil || third.Len() == 0 {
		t.Errorf("a backup after the first has ended: %d bytes, %v", third.Len(), err)
	}
}

func TestBackupOfAClosedGatewayAsksToComeBack(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	err := g.Backup(context.Background(), io.Discard)
	if problem.From(err).Code != problem.Unavailable || !errors.Is(err, queue.ErrClosed) {
		t.Errorf("got %v, want unavailable", err)
	}
}
