package queuetest

import (
	"errors"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

var _ = conform(
	testCase{name: "ClaimIsExclusiveUntilItsDeadline", run: testExclusive},
	testCase{name: "ClaimAheadOfTimeEndsNoOther", run: testClaimAhead},
	testCase{name: "LateFinishAndReleaseAreLost", run: testLost},
	testCase{name: "ReleaseBurnsNoAttempt", run: testRelease},
	testCase{name: "ReleasedDeliveryWaits", run: testReleaseDue},
	testCase{name: "ClaimsEndWithTheProcess", run: testClaimsNotDurable},
	testCase{name: "ClaimTellsTheNextDueTime", run: testNext},
	testCase{name: "ClaimIsOldestFirst", run: testOldestFirst},
	testCase{name: "FirstAttemptsAndRetriesTakeTurns", run: testTurns},
	testCase{name: "ConcurrentClaimsNeverShare", run: testConcurrentClaims},
	testCase{name: "WatchTells", run: testWatch},
)

func testExclusive(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	b.claimOnly("wh_1", 0)
	b.now = c.Claim.Until.Add(-1)
	b.claimOnly("wh_1", 0)
	if n := b.store.Backlog("wh_1"); n != 1 {
		b.Errorf("backlog is %d, want the claimed one", n)
	}
	b.now = c.Claim.Until
	again := b.claimOnly("wh_1", 1)[0]
	if again.Claim.DeliveryID != c.Claim.DeliveryID || again.Claim.Token == c.Claim.Token || again.Delivery.Attempts != 0 {
		b.Errorf("claimed %+v after %+v", again.Claim, c.Claim)
	}
	b.finish(again, b.delivered(again))
}

func testClaimAhead(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.putOff(c, time.Hour))
	b.send("wh_1", "wh_2")
	others := append(b.claimOnly("wh_1", 1), b.claimOnly("wh_2", 1)...)

	r := queue.ClaimRequest{WebhookID: "wh_1", Max: 2, Now: b.now, Due: b.now.Add(time.Hour - 1), Until: b.now.Add(time.Minute)}
	cs, next, err := b.store.Claim(background, r)
	b.must(err)
	if len(cs) != 0 || !next.Equal(b.now.Add(time.Hour)) {
		b.Errorf("claimed %d before they are due, next at %v", len(cs), next)
	}
	r.Due = next
	cs, _, err = b.store.Claim(background, r)
	b.must(err)
	if len(cs) != 1 || cs[0].Delivery.ID != c.Delivery.ID {
		b.Fatalf("claimed %+v, want the one that is due by then", cs)
	}
	for _, c := range append(others, cs...) {
		if _, err := b.store.ClaimOne(background, c.Delivery.ID, "x", b.now, b.now.Add(time.Minute)); !errors.Is(err, queue.ErrClaimed) {
			b.Errorf("ClaimOne of a claimed delivery: %v, want ErrClaimed", err)
		}
		b.finish(c, b.delivered(c))
	}
}

func testLost(b *bench) {
	b.send("wh_1")
	lost := func(what string, c queue.Claimed) {
		b.Helper()
		if err := b.store.Finish(background, c.Claim, b.delivered(c)); !errors.Is(err, queue.ErrClaimLost) {
			b.Errorf("Finish after %s: %v, want ErrClaimLost", what, err)
		}
		if err := b.store.Release(background, c.Claim, b.now); !errors.Is(err, queue.ErrClaimLost) {
			b.Errorf("Release after %s: %v, want ErrClaimLost", what, err)
		}
	}
	expired := b.claimOnly("wh_1", 1)[0]
	b.now = b.now.Add(time.Hour)
	released := b.claimOnly("wh_1", 1)[0]
	lost("the deadline", expired)
	b.must(b.store.Release(background, released.Claim, b.now))
	lost("release", released)
	c := b.claimOnly("wh_1", 1)[0]
	lost("another claim", released)
	b.finish(c, b.delivered(c))
	lost("finish", c)
	if d := b.delivery(c.Delivery.ID); d.Attempts != 1 || d.Status != webhook.Delivered {
		b.Errorf("delivery is %+v", d)
	}
	unknown := c
	unknown.Claim.WebhookID = "wh_none"
	lost("nothing", unknown)
	unknown = c
	unknown.Claim.DeliveryID = "nonsense"
	lost("nothing", unknown)
}

func testRelease(b *bench) {
	b.send("wh_1")
	for range 5 {
		c := b.claimOnly("wh_1", 1)[0]
		if c.Delivery.Attempts != 0 || c.Delivery.Step != 0 {
			b.Errorf("delivery is %+v", c.Delivery)
		}
		b.must(b.store.Release(background, c.Claim, b.now))
	}
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.putOff(c, time.Second))
	b.now = b.now.Add(time.Second)
	for range 3 {
		c = b.claimOnly("wh_1", 1)[0]
		if c.Delivery.Attempts != 1 || c.Delivery.Step != 1 {
			b.Errorf("delivery is %+v", c.Delivery)
		}
		b.must(b.store.Release(background, c.Claim, b.now))
	}
}

func testReleaseDue(b *bench) {
	b.send("wh_1")
	c := b.claimOnly("wh_1", 1)[0]
	due := b.now.Add(10 * time.Second)
	b.must(b.store.Release(background, c.Claim, due))
	if cs, next := b.claimNext("wh_1", 1); len(cs) != 0 || !next.Equal(due) {
		b.Errorf("claimed %d, next is %v, want %v", len(cs), next, due)
	}
	b.now = due.Add(-1)
	b.claimOnly("wh_1", 0)
	b.now = due
	b.claimOnly("wh_1", 1)
}

func testClaimsNotDurable(b *bench) {
	b.send("wh_1")
	b.send("wh_1")
	cs := b.claimOnly("wh_1", 2)
	b.finish(cs[0], b.putOff(cs[0], 0))
	b.claimOnly("wh_1", 1)
	for range 2 {
		b.crash()
		attempts := 0
		for _, c := range b.claimOnly("wh_1", 2) {
			attempts += c.Delivery.Attempts
		}
		if attempts != 1 {
			b.Errorf("deliveries have %d attempts, want 1", attempts)
		}
	}
	if err := b.store.Finish(background, cs[1].Claim, b.delivered(cs[1])); !errors.Is(err, queue.ErrClaimLost) {
		b.Errorf("Finish of a claim of before: %v, want ErrClaimLost", err)
	}
}

func testNext(b *bench) {
	want := func(what string, due time.Time) {
		b.Helper()
		if _, next := b.claimNext("wh_1", 1); !next.Equal(due) {
			b.Errorf("%s: next is %v, want %v", what, next, due)
		}
	}
	want("unknown webhook", time.Time{})
	b.send("wh_1")
	second := b.now.Add(time.Millisecond)
	b.now = second
	b.send("wh_1")
	c, next := b.claimNext("wh_1", 1)
	if len(c) != 1 || !next.Equal(second) {
		b.Fatalf("claimed %d, next is %v, want %v", len(c), next, second)
	}
	want("all claimed", time.Time{})
	b.finish(c[0], b.putOff(c[0], time.Hour))
	want("one put off", b.now.Add(time.Hour))
	b.crash()
	want("after a crash", b.now.Add(time.Hour))
	want("after a crash", b.now.Add(time.Hour))
}

func testOldestFirst(b *bench) {
	var want []string
	for range 100 {
		b.now = b.now.Add(time.Millisecond)
		want = append(want, b.send("wh_1").ID)
	}
	for range 2 {
		var got []string
		for len(got) < len(want) {
			cs := b.claim("wh_1", 7)
			if len(cs) == 0 {
				break
			}
			for _, c := range cs {
				got = append(got, c.Event.ID)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("order differs (-want +got):\n%s", diff)
		}
		b.reopen()
	}
	// Retries are in the order of their due times.
	cs := b.claim("wh_1", 100)
	for i, c := range cs {
		b.finish(c, b.putOff(c, time.Duration(len(cs)-i)*time.Second))
	}
	b.now = b.now.Add(time.Hour)
	for i, c := range b.claimOnly("wh_1", 100) {
		if want := cs[len(cs)-1-i].Event.ID; c.Event.ID != want {
			b.Fatalf("retry %d is of %s, want %s", i, c.Event.ID, want)
		}
	}
}

func testTurns(b *bench) {
	for range 10 {
		b.send("wh_1")
	}
	for _, c := range b.claimOnly("wh_1", 10) {
		b.finish(c, b.putOff(c, time.Second))
	}
	b.now = b.now.Add(time.Minute)
	for range 10 {
		b.send("wh_1")
	}
	retries := 0
	for _, c := range b.claim("wh_1", 10) {
		if c.Delivery.Attempts > 0 {
			retries++
		}
	}
	if retries != 5 {
		b.Errorf("%d of 10 claims are retries, want 5", retries)
	}
	b.claimOnly("wh_1", 10)
}

func testConcurrentClaims(b *bench) {
	const events, claimers = 300, 6
	for range events {
		b.send("wh_1")
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range claimers {
		wg.Go(func() {
			for {
				cs, _, err := b.store.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: 3, Now: b.now, Until: b.now.Add(time.Minute)})
				if err != nil {
					b.Error(err)
					return
				}
				if len(cs) == 0 {
					return
				}
				mu.Lock()
				for _, c := range cs {
					seen[c.Delivery.ID]++
				}
				mu.Unlock()
				for i, c := range cs {
					r := b.delivered(c)
					if i == 0 && c.Delivery.Attempts == 0 {
						r = b.putOff(c, 0)
						mu.Lock()
						seen[c.Delivery.ID]--
						mu.Unlock()
					}
					if err := b.store.Finish(background, c.Claim, r); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, c := range b.claim("wh_1", events) { // what was put off last
		seen[c.Delivery.ID]++
		b.finish(c, b.delivered(c))
	}
	if len(seen) != events {
		b.Errorf("%d deliveries were claimed, want %d", len(seen), events)
	}
	for id, n := range seen {
		if n != 1 {
			b.Errorf("%s was given out %d times", id, n)
		}
	}
	if n := b.store.Backlog("wh_1"); n != 0 {
		b.Errorf("backlog is %d", n)
	}
}

func testWatch(b *bench) {
	var mu sync.Mutex
	told := map[string]time.Time{}
	watch := func() {
		b.must(b.store.Watch(func(id string, due time.Time) {
			mu.Lock()
			defer mu.Unlock()
			if old, ok := told[id]; !ok || due.Before(old) {
				told[id] = due
			}
		}))
	}
	expect := func(what string, want map[string]time.Time) {
		b.Helper()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, told); diff != "" {
			b.Errorf("%s: told (-want +got):\n%s", what, diff)
		}
		clear(told)
	}
	watch()
	expect("empty", map[string]time.Time{})
	b.send("wh_1", "wh_2")
	expect("publish", map[string]time.Time{"wh_1": b.now, "wh_2": b.now})
	c := b.claimOnly("wh_1", 1)[0]
	b.finish(c, b.putOff(c, time.Hour))
	expect("put off", map[string]time.Time{"wh_1": b.now.Add(time.Hour)})
	c = b.claimOnly("wh_2", 1)[0]
	b.must(b.store.Release(background, c.Claim, b.now.Add(time.Second)))
	expect("release", map[string]time.Time{"wh_2": b.now.Add(time.Second)})
	b.crash()
	watch()
	expect("start", map[string]time.Time{"wh_1": b.now.Add(time.Hour), "wh_2": b.now})
	b.must(b.store.Watch(nil))
	b.send("wh_1")
	expect("no watcher", map[string]time.Time{})
}
