package badgerstore_test

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestSecondOpenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustOpen(t, badgerstore.Options{Dir: dir})
	_, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "another process has it open: stop that process") {
		t.Errorf("second Open: %v", err)
	}
}

func TestDirectoryIsForItsOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	mustOpen(t, badgerstore.Options{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v, want 0700", info.Mode().Perm())
	}
	if _, err := badgerstore.Open(badgerstore.Options{}); err == nil {
		t.Error("Open without a directory succeeded")
	}
}

func TestFailedCommitMakesStoreUnavailable(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 2)
	c := mustClaim(t, s, start, 2)[0]
	if err := badgerstore.BreakDatabase(s); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Finish(background, c.Claim, result(c, webhook.Delivered)); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("Finish: %v, want ErrUnavailable", err)
		}
		if _, err := s.Publish(background, []queue.Publication{publication(7)}); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("Publish: %v, want ErrUnavailable", err)
		}
	}
	if err := s.Stats().Err; !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Stats.Err is %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestFailedCommitWakesWaitingClaims(t *testing.T) {
	t.Parallel()
	var s *badgerstore.Store
	var armed atomic.Bool
	s = mustOpen(t, badgerstore.Options{Dir: t.TempDir(), MemoryDeliveries: 1, OnCommit: func(time.Duration, int) {
		if armed.CompareAndSwap(true, false) {
			if err := badgerstore.BreakDatabase(s); err != nil {
				t.Error(err)
			}
		}
	}})
	mustPublish(t, s, 0, 1)
	armed.Store(true)
	mustPublish(t, s, 1, 2) // its delivery is to be recorded, in the next pack
	var err error
	for err == nil { // the first may still be given out, the others wait for their records
		_, _, err = s.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: 1, Now: start, Until: start.Add(time.Minute)})
	}
	if !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Claim: %v, want ErrUnavailable", err)
	}
	mustClose(t, s)
}

func TestClockThatWasAheadDelaysNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	now := time.Now()
	for n, at := range []time.Time{now.Add(5 * time.Hour), now} {
		pub := publication(n)
		pub.Event.ReceivedAt = at
		if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	err := s.Watch(func(id string, due time.Time) {
		if due.After(time.Now()) {
			t.Errorf("a delivery to %s is said to be due in %v", id, time.Until(due))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	mustClaim(t, s, now, 2)
}

func TestEmptyLogIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustClose(t, mustOpen(t, badgerstore.Options{Dir: dir}))
	if err := os.WriteFile(filepath.Join(dir, "00009.mem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCheck(t, mustOpen(t, badgerstore.Options{Dir: dir}))
}

func TestPanicInCommitterMakesStoreUnavailable(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), OnCommit: func(time.Duration, int) { panic("test") }})
	if _, err := s.Publish(background, []queue.Publication{publication(1)}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Publish: %v, want ErrUnavailable", err)
	}
}

func TestLittleSpaceRefusesBeforeTheDiskIsFull(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	o := badgerstore.Options{
		Dir: t.TempDir(), PublishReserve: 100 << 20, FinishReserve: 50 << 20,
		FreeSpace: func(string) (int64, error) { return free.Load(), nil },
	}
	if _, err := badgerstore.Open(o); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("Open without space: %v", err)
	}
	measure := func(s *badgerstore.Store, n int64) {
		t.Helper()
		free.Store(n)
		if err := badgerstore.MeasureSpace(s); err != nil {
			t.Fatal(err)
		}
	}
	free.Store(1 << 30)
	s := mustOpen(t, o)
	mustPublish(t, s, 0, 3)
	cs := mustClaim(t, s, start, 3)

	measure(s, 99<<20)
	if _, err := s.Publish(background, []queue.Publication{publication(5)}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Publish: %v, want ErrFull", err)
	}
	generated := publication(5)
	generated.NewID = true
	for name, pubs := range map[string][]queue.Publication{
		"an id of the gateway":   {generated},
		"a repeat and a new one": {publication(0), publication(5)},
		"the same new one twice": {publication(5), publication(5)},
	} {
		if _, err := s.Publish(background, pubs); !errors.Is(err, queue.ErrFull) {
			t.Errorf("Publish of %s: %v, want ErrFull", name, err)
		}
	}
	// Repeats need no space, also where another content is a conflict.
	rs, err := s.Publish(background, []queue.Publication{publication(0), publication(1), publication(0)})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Stored == nil || r.Deliveries != 1 {
			t.Errorf("Publish of repeats: receipt %d is %+v", i, r)
		}
	}
	if st := s.Stats(); !st.Full || st.FreeBytes > 99<<20 {
		t.Errorf("Stats are %+v", st)
	}
	mustFinish(t, s, cs[0], webhook.Delivered)

	measure(s, 49<<20)
	if err := s.Finish(background, cs[1].Claim, result(cs[1], webhook.Delivered)); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Finish: %v, want ErrFull", err)
	}
	// What could not be recorded is not given out to be sent.
	if _, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: 1, Now: start.Add(time.Hour), Until: start.Add(2 * time.Hour)}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Claim: %v, want ErrFull", err)
	}
	measure(s, 1<<30)
	mustFinish(t, s, cs[1], webhook.Delivered)
	if rs, err := s.Publish(background, []queue.Publication{publication(5)}); err != nil || rs[0].Stored != nil {
		t.Errorf("Publish of what was refused gave %+v, %v", rs, err)
	}

	// What is written between two measurements counts.
	measure(s, 101<<20)
	big := publication(10)
	big.Event.Body = make([]byte, 512<<10)
	if _, err := s.Publish(background, []queue.Publication{big}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(background, []queue.Publication{publication(11)}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("Publish: %v, want ErrFull", err)
	}
}

func TestTooMuchWaitingIsRefused(t *testing.T) {
	t.Parallel()
	var hold sync.Mutex
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), QueueBytes: 1 << 20, OnCommit: func(time.Duration, int) {
		hold.Lock()
		defer hold.Unlock() // it only waits
	}})
	big := func(n int) []queue.Publication {
		pub := publication(n)
		pub.Event.Body = make([]byte, 300<<10)
		return []queue.Publication{pub}
	}
	hold.Lock()
	done := make(chan error)
	for n := range 3 {
		go func() {
			_, err := s.Publish(background, big(n))
			done <- err
		}()
	}
	badgerstore.AwaitWaiting(s, 900<<10)
	if _, err := s.Publish(background, big(3)); !errors.Is(err, queue.ErrBusy) {
		t.Errorf("Publish: %v, want ErrBusy", err)
	}
	hold.Unlock()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	// One call may be larger than the bound; what was refused comes again.
	pubs := []queue.Publication{}
	for n := range 8 {
		pubs = append(pubs, big(n)...)
	}
	rs, err := s.Publish(background, pubs)
	if err != nil || rs[2].Stored == nil || rs[3].Stored != nil {
		t.Errorf("Publish gave %+v, %v", rs, err)
	}
	mustCheck(t, s)
}

// TestPacksStayBelowTheLimitOfATransaction fills packs with many entries and
// with many bytes.
func TestPacksStayBelowTheLimitOfATransaction(t *testing.T) {
	t.Parallel()
	var packs atomic.Int64
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), OnCommit: func(time.Duration, int) { packs.Add(1) }})
	for _, c := range []struct{ events, size, packs int }{{12_500, 10, 2}, {40, 256 << 10, 3}} {
		pubs := make([]queue.Publication, c.events)
		for i := range pubs {
			pubs[i] = publication(c.size + i)
			pubs[i].Event.Body = make([]byte, c.size)
			pubs[i].Event.ProjectID = fmt.Sprintf("prj_%d", i)
			pubs[i].Remember = []byte(`{"id":"prj"}`)
		}
		before := packs.Load()
		if _, err := s.Publish(background, pubs); err != nil {
			t.Fatal(err)
		}
		if n := packs.Load() - before; n < int64(c.packs) {
			t.Errorf("%d events of %d bytes were stored in %d packs, want at least %d", c.events, c.size, n, c.packs)
		}
	}
	mustCheck(t, s)
}

func TestRecordTooLargeIsRefusedAlone(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	big := publication(1)
	big.Event.Body = make([]byte, 1<<20)
	if _, err := s.Publish(background, []queue.Publication{publication(0), big}); err == nil {
		t.Error("an event that cannot be stored was taken")
	}
	mustPublish(t, s, 0, 2)
	mustCheck(t, s)
}

// TestLargestProjectEventIsStored has its data as the project's context as well:
// twice, they would not fit into one value.
func TestLargestProjectEventIsStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	input, err := (&webhook.Intake{MaxSize: webhook.MaxEventSize}).One([]byte(
		`{"id":"evt_1","type":"project.created","data":{"id":"prj_1","x":"` + strings.Repeat("x", webhook.MaxEventSize-300) + `"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := input.Event(start, webhook.DefaultAPIVersion)
	if _, err := s.Publish(background, []queue.Publication{{Event: &want, Remember: input.Project}}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	got, err := s.Event(background, "prj_1", "evt_1")
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Body) != string(want.Body) || string(got.Context) != string(want.Context) {
		t.Errorf("got a body of %d bytes and a context of %d, want %d and %d", len(got.Body), len(got.Context), len(want.Body), len(want.Context))
	}
	mustCheck(t, s)
}

func TestLeftoverOfTheDueIndexIsNotSent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	mustPublish(t, s, 0, 1)
	c := mustClaim(t, s, start, 1)[0]
	mustFinish(t, s, c, webhook.Delivered)
	if err := badgerstore.AddLeftover(s, c.Delivery.ID, start); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	mustClaim(t, s, start.Add(time.Hour), 0)
	mustClaim(t, s, start.Add(time.Hour), 0) // though the entry may not be removed yet
	mustPublish(t, s, 1, 2)                  // waits until it is
	if n := s.Backlog("wh_1"); n != 1 {
		t.Errorf("backlog is %d, want the new one", n)
	}
	mustCheck(t, s)
}

func TestDeliveredAtFirstTryWritesOneEntry(t *testing.T) {
	t.Parallel()
	var entries atomic.Int64
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), OnCommit: func(_ time.Duration, n int) { entries.Store(int64(n)) }})
	mustPublish(t, s, 0, 2)
	const overhead = 2 // the state record, and Badger's end of transaction
	if n := entries.Load() - overhead; n != 3 {
		t.Errorf("publishing writes %d entries, want 3", n)
	}
	mustFinish(t, s, mustClaim(t, s, start, 2)[0], webhook.Delivered)
	if n := entries.Load() - overhead; n != 1 {
		t.Errorf("finishing writes %d entries, want 1", n)
	}
}

func TestValueLogStaysEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	big := publication(0)
	big.Event.Body = make([]byte, 512<<10)
	big.Event.Context = make([]byte, 256<<10)
	if _, err := s.Publish(background, []queue.Publication{big}); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, s, 1, 100)
	for _, c := range mustClaim(t, s, start, 100) {
		r := result(c, webhook.Pending)
		r.Attempt.ResponseBody = make([]byte, webhook.MaxResponseBody)
		if err := s.Finish(background, c.Claim, r); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil || len(names) == 0 {
		t.Fatalf("value logs are %v, %v", names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		const header = 20
		if strings.Trim(string(b[header:]), "\x00") != "" {
			t.Errorf("something was written to %s", name)
		}
	}
}

func TestRetiredSpaceComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	empty := diskUse(t, dir)
	const rounds, events, size = 12, 200, 64 << 10
	var most int64
	for round := range rounds {
		pubs := make([]queue.Publication, events)
		for i := range pubs {
			pubs[i] = publication(round*events + i)
			pubs[i].Event.Body = make([]byte, size)
			_, _ = cryptorand.Read(pubs[i].Event.Body)
		}
		if _, err := s.Publish(background, pubs); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, c := range mustClaim(t, s, start, events) {
			wg.Go(func() {
				if err := s.Finish(background, c.Claim, result(c, webhook.Delivered)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n, more, err := s.Retire(background, start.Add(time.Hour), events); n != events || more || err != nil {
			t.Fatalf("Retire gave %d, %v, %v", n, more, err)
		}
		most = max(most, diskUse(t, dir)-empty)
		if round%4 == 3 {
			badgerstore.TidyUp(s)
		}
	}
	left := diskUse(t, dir) - empty
	t.Logf("%d MiB of events were stored and retired: the disk held up to %d MiB, and %d MiB in the end", rounds*events*size>>20, most>>20, left>>20)
	const logs = 64 << 20 // what Badger has not yet made tables of stays until then
	if left > logs {
		t.Errorf("of %d bytes of retired events %d are still on disk", rounds*events*size, left)
	}
	mustCheck(t, s)
}

// diskUse returns the bytes that the files of a directory take, without holes.
func diskUse(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n, err := badgerstore.DiskUse(filepath.Join(dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestRepeatIsNotRefusedAfterTheFirst: ErrBusy means that nothing was stored,
// also where an event comes more than once in one call.
func TestRepeatIsNotRefusedAfterTheFirst(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), QueueBytes: 1})
	var publishers sync.WaitGroup
	for g := range 8 {
		publishers.Go(func() {
			for n := 0; n < 20; {
				pub := publication(1000*g + n)
				_, err := s.Publish(background, slices.Repeat([]queue.Publication{pub}, 30))
				if err == nil {
					n++
					continue
				}
				if _, stored := s.Event(background, "prj_1", pub.Event.ID); !errors.Is(err, queue.ErrBusy) || !errors.Is(stored, queue.ErrNotFound) {
					t.Errorf("Publish: %v; Event: %v", err, stored)
					return
				}
			}
		})
	}
	publishers.Wait()
	mustCheck(t, s)
}

// TestFullDiskWakesWaitingClaims: what waits to be recorded cannot be, so
// neither a claim nor Close may wait for it.
func TestFullDiskWakesWaitingClaims(t *testing.T) {
	t.Parallel()
	const last = 1999 // recorded in the second step
	var free atomic.Int64
	free.Store(1 << 40)
	var s *badgerstore.Store
	var commits atomic.Int32 // until the one that records the first deliveries
	claimed := make(chan error, 1)
	s = mustOpen(t, badgerstore.Options{
		Dir: t.TempDir(), MemoryDeliveries: 1,
		FreeSpace: func(string) (int64, error) { return free.Load(), nil },
		OnCommit: func(time.Duration, int) {
			if commits.Add(-1) != 0 {
				return
			}
			go func() {
				ctx, cancel := context.WithTimeout(background, 20*time.Second)
				defer cancel()
				_, _, err := s.Claim(ctx, queue.ClaimRequest{WebhookID: fmt.Sprintf("wh_%04d", last), Max: 1, Now: start, Until: start.Add(time.Minute)})
				claimed <- err
			}()
			badgerstore.AwaitRecordedWaiters(s)
			free.Store(1 << 20)
			if err := badgerstore.MeasureSpace(s); err != nil {
				t.Error(err)
			}
		},
	})
	publish := func(n int, status webhook.Status) {
		t.Helper()
		pub := publication(n)
		pub.Targets = nil
		for i := range last + 1 {
			pub.Targets = append(pub.Targets, queue.Target{WebhookID: fmt.Sprintf("wh_%04d", i), Status: status})
		}
		if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
			t.Fatal(err)
		}
	}
	publish(0, webhook.Skipped) // stores the names of the webhooks
	mustSettle(t, s)
	commits.Store(2)
	publish(1, webhook.Pending)
	if err := <-claimed; !errors.Is(err, queue.ErrFull) {
		t.Errorf("Claim: %v, want ErrFull", err)
	}
	free.Store(1 << 40)
	if err := badgerstore.MeasureSpace(s); err != nil {
		t.Error(err)
	}
	mustSettle(t, s)
	mustCheck(t, s)
}

// TestFailedFinishLeavesADeadline: a claim whose Finish fails ends by its
// deadline like any other.
func TestFailedFinishLeavesADeadline(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 1)
	c := mustClaim(t, s, start, 1)[0]
	if err := badgerstore.FailFinish(s, c.Claim, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, s, start.Add(2*time.Hour), 1)
	mustCheck(t, s)
}

// TestClaimOneOfWhatHasChangedMeanwhile: between looking a delivery up and
// claiming it others may claim, finish, claim and release it.
func TestClaimOneOfWhatHasChangedMeanwhile(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 1)
	mustFinish(t, s, mustClaim(t, s, start, 1)[0], webhook.Pending)
	now := start.Add(time.Hour)
	c := mustClaim(t, s, now, 1)[0]
	again, err := badgerstore.TakeOneAfter(s, c.Delivery.ID, now, func() {
		mustFinish(t, s, c, webhook.Pending)
		again := mustClaim(t, s, now, 1)[0]
		if err := s.Release(background, again.Claim, now); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil || !again {
		t.Errorf("the delivery was claimed as it had been: %v", err)
	}
	if c := mustClaim(t, s, now, 1)[0]; c.Delivery.Attempts != 2 {
		t.Errorf("the delivery has %d attempts, want 2", c.Delivery.Attempts)
	}
	mustCheck(t, s)
}

func TestGrownContextsStayBounded(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	for n := range 40 {
		pub := publication(n)
		pub.Targets = nil
		pub.Event.ProjectID = fmt.Sprintf("prj_%d", n%20)
		pub.Remember = make([]byte, 1+n/20*(900<<10))
		if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
			t.Fatal(err)
		}
	}
	if n := badgerstore.ContextBytes(s); n > 8<<20 {
		t.Errorf("%d bytes of contexts are cached, want 8 MiB at most", n)
	}
}
