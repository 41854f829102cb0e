package badgerstore_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// childDir names the directory in which a test process plays the victim.
const childDir = "BADGERSTORE_TEST_CHILD_DIR"

// TestKillLosesNothingAcknowledged kills a process that publishes with several
// goroutines, and looks for every event it has acknowledged.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		publishForEver(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestKillLosesNothingAcknowledged$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	lines := bufio.NewScanner(out)
	for len(acked) < 3000 && lines.Scan() {
		acked = append(acked, lines.Text())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		acked = append(acked, lines.Text())
	}
	_ = child.Wait()
	if n := len(acked); n > 0 && !strings.HasPrefix(acked[n-1], "evt_") {
		acked = acked[:n-1] // cut off
	}

	s := mustOpen(t, badgerstore.Options{Dir: dir})
	for _, id := range acked {
		if len(id) != len("evt_000000") {
			continue // cut off
		}
		if _, err := s.Event(background, "prj_1", id); err != nil {
			t.Errorf("acknowledged event is gone: %v", err)
		}
	}
	if n := s.Backlog("wh_1"); n < len(acked)-1 {
		t.Errorf("%d deliveries are pending, but %d events were acknowledged", n, len(acked))
	}
	if lost := s.Stats().Lost; lost != 0 {
		t.Errorf("%d commits are said to be lost", lost)
	}
	mustCheck(t, s)
}

func publishForEver(t *testing.T, dir string) {
	s, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for g := range 8 {
		go func() {
			for n := g; ; n += 8 {
				pub := publication(n)
				if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
					return
				}
				fmt.Fprintln(os.Stdout, pub.Event.ID)
			}
		}()
	}
	select {}
}

// TestKillsLeaveCountsRight kills a process again and again that publishes and
// delivers, and checks all that is stored, and what the memory makes of it.
func TestKillsLeaveCountsRight(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		deliverForEver(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	for range 4 {
		child := exec.Command(os.Args[0], "-test.run=^TestKillsLeaveCountsRight$")
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := rand.IntN(300); n > 0 && lines.Scan(); n-- {
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
	}
	mustCheck(t, mustOpen(t, badgerstore.Options{Dir: dir}))
}

// deliverForEver publishes events to 20 webhooks each and delivers them; every
// fifth delivery only at the second try. It writes a line for each event.
func deliverForEver(t *testing.T, dir string) {
	s, err := badgerstore.Open(badgerstore.Options{Dir: dir, MemoryDeliveries: 200})
	if err != nil {
		t.Fatal(err)
	}
	var targets []queue.Target
	for i := range 20 {
		targets = append(targets, queue.Target{WebhookID: fmt.Sprintf("wh_%d", i), Status: webhook.Pending})
	}
	run := time.Now().UnixNano()
	for g := range 8 {
		go func() {
			for n := g; ; n += 8 {
				pub := publication(n)
				pub.Event.ID, pub.Targets = fmt.Sprintf("evt_%d_%d", run, n), targets
				if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
					return
				}
				fmt.Fprintln(os.Stdout, pub.Event.ID)
			}
		}()
	}
	wake := make(chan string, 1<<10)
	err = s.Watch(func(webhookID string, _ time.Time) {
		select {
		case wake <- webhookID:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		go func() {
			for webhookID := range wake {
				cs, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: webhookID, Max: 8, Now: start.Add(time.Hour), Until: start.Add(2 * time.Hour)})
				if err != nil {
					return
				}
				for i, c := range cs {
					status := webhook.Delivered
					if i%5 == 0 && c.Delivery.Attempts == 0 {
						status = webhook.Pending
					}
					go func() { _ = s.Finish(background, c.Claim, result(c, status)) }()
				}
			}
		}()
	}
	select {}
}

func TestFlippedBitInLogIsReported(t *testing.T) {
	t.Parallel()
	live := badgerstore.Options{Dir: t.TempDir()}
	s := mustOpen(t, live)
	mustPublish(t, s, 0, 200)
	if err := badgerstore.AwaitHighWater(s); err != nil {
		t.Fatal(err)
	}
	found := t.TempDir()
	copyDir(t, found, live.Dir)
	mustClose(t, s)
	flipBit(t, found, 0.5)

	core, logs := observer.New(zapcore.WarnLevel)
	s = mustOpen(t, badgerstore.Options{Dir: found, Logger: zap.New(core)})
	if lost := s.Stats().Lost; lost < 50 || lost > 150 {
		t.Errorf("%d commits are said to be lost, want about 100", lost)
	}
	if logs.FilterLevelExact(zapcore.ErrorLevel).FilterField(zap.Uint64("lost_commits", s.Stats().Lost)).Len() != 1 {
		t.Errorf("no error was logged: %v", logs.All())
	}
	mustCheck(t, s)

	// The logs as they were found are still there, and the loss is told once.
	if aside, _ := filepath.Glob(filepath.Join(found, "unclean-*", "*.mem")); len(aside) == 0 {
		t.Error("the damaged log was not kept")
	}
	mustPublish(t, s, 1000, 1010)
	mustClose(t, s)
	if s = mustOpen(t, badgerstore.Options{Dir: found}); s.Stats().Lost != 0 {
		t.Errorf("%d commits are said to be lost again", s.Stats().Lost)
	}
}

// flipBit flips a bit at a place of the largest write-ahead log: 0 is its
// beginning, 1 the end of what was written.
func flipBit(t *testing.T, dir string, place float64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no write-ahead log in %s: %v", dir, err)
	}
	b, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	end := len(strings.TrimRight(string(b), "\x00"))
	b[int(float64(end)*place)] ^= 1
	if err := os.WriteFile(names[len(names)-1], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogsAsideAreBounded(t *testing.T) {
	t.Parallel()
	o := &opener{TB: t, options: badgerstore.Options{Dir: t.TempDir()}}
	var s queue.Store
	s, err := o.Open()
	for n := range 4 {
		if err != nil {
			t.Fatal(err)
		}
		mustPublish(t, s, n, n+1)
		aside, _ := filepath.Glob(filepath.Join(o.options.Dir, "unclean-*"))
		// The copy of a store does not take along what its predecessor kept.
		if want := min(n, 1); len(aside) != want {
			t.Errorf("%d copies are kept after %d crashes, want %d", len(aside), n, want)
		}
		s, err = o.Crash(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
