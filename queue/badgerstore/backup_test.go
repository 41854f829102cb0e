package badgerstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestBackupOfABusyStoreIsOfOneMoment(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 50)
	for i, c := range mustClaim(t, s, start, 50)[:30] {
		mustFinish(t, s, c, []webhook.Status{webhook.Delivered, webhook.Pending, webhook.Failed}[i%3])
	}
	if _, err := s.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: "wh_1", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		mustPublish(t, s, 50, 300)
	}()
	var backup bytes.Buffer
	if err := s.Backup(background, &backup); err != nil {
		t.Fatal(err)
	}
	<-busy

	dir := filepath.Join(t.TempDir(), "restored")
	if err := badgerstore.Restore(background, dir, &backup); err != nil {
		t.Fatal(err)
	}
	back := mustOpen(t, badgerstore.Options{Dir: dir})
	mustCheck(t, back)
	for _, id := range []string{"evt_000000", "evt_000001", "evt_000049"} {
		q := queue.DeliveryQuery{WebhookID: "wh_1", EventID: id, Limit: 1}
		want, err := s.Deliveries(background, q)
		got, backErr := back.Deliveries(background, q)
		if err != nil || backErr != nil || !cmp.Equal(want, got) {
			t.Errorf("deliveries of %s differ, %v, %v:\n%s", id, err, backErr, cmp.Diff(want, got))
		}
	}
	if n := back.Backlog("wh_1"); n < 30 || n > 280 {
		t.Errorf("backlog is %d", n)
	}
	mustPublish(t, back, 1000, 1010)
	mustCheck(t, back)
}

func TestDamagedBackupIsNotRestored(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 3)
	var whole bytes.Buffer
	if err := s.Backup(background, &whole); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole.Bytes())
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{
		"empty":   nil,
		"foreign": []byte("PK and so on, but no backup of a gateway"),
		"cut":     whole.Bytes()[:whole.Len()-1],
		"half":    whole.Bytes()[:whole.Len()/2],
		"flipped": flipped,
		"twice":   slices.Concat(whole.Bytes(), whole.Bytes()),
	} {
		dir := filepath.Join(t.TempDir(), "restored")
		if err := badgerstore.Restore(background, dir, bytes.NewReader(content)); !errors.Is(err, badgerstore.ErrBackup) {
			t.Errorf("%s: %v, want ErrBackup", name, err)
		}
		if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{dir, filepath.Join(dir, "file")} {
		if err := badgerstore.Restore(background, taken, bytes.NewReader(whole.Bytes())); err == nil {
			t.Errorf("a backup was restored over %s", taken)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForABackup(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	for n := range 20 {
		pub := publication(n)
		pub.Event.Body = make([]byte, 256<<10)
		if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
			t.Fatal(err)
		}
	}
	r, w := io.Pipe()
	done := make(chan error)
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	go func() { done <- s.Backup(ctx, w) }()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it is under way
		t.Fatal(err)
	}
	mustClose(t, s)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-done; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Backup: %v, want ErrClosed", err)
	}
	_ = r.Close()
}
