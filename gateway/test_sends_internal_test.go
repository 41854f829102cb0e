package gateway

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
)

func TestAnyMinuteHasTenTests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts testSends
		send := func() error {
			s, err := ts.begin("wh_a", "proj_1")
			if err == nil {
				ts.end(s)
			}
			return err
		}
		for i := range 10 {
			if err := send(); err != nil {
				t.Fatalf("test %d: %v", i, err)
			}
			time.Sleep(time.Second)
		}
		// The first was 10 s ago.
		if e := problem.From(send()); e.Code != problem.TooManyRequests || e.RetryAfter != 50*time.Second {
			t.Errorf("the eleventh: %v, retry after %s", e, e.RetryAfter)
		}
		time.Sleep(50*time.Second - time.Nanosecond)
		if send() == nil {
			t.Error("an eleventh within a minute")
		}
		time.Sleep(time.Nanosecond)
		if err := send(); err != nil {
			t.Errorf("a minute after the first: %v", err)
		}
		if send() == nil {
			t.Error("two at once when one place is free")
		}
	})
}

func TestWebhooksWithoutRecentTestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts testSends
		for i := range 5000 {
			s, err := ts.begin(fmt.Sprint("wh_", i), "proj_1")
			if err != nil {
				t.Fatal(err)
			}
			ts.end(s)
			time.Sleep(time.Second)
		}
		if len(ts.recent) > 512 {
			t.Errorf("%d webhooks are remembered", len(ts.recent))
		}
	})
}

func TestTestsInFlightAreBounded(t *testing.T) {
	var ts testSends
	begin := func(i int, project string) error {
		s, err := ts.begin(fmt.Sprint("wh_", i), project)
		if err == nil {
			t.Cleanup(func() { ts.end(s) })
		}
		return err
	}
	for i := range maxProjectTests {
		if err := begin(i, "proj_1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(maxProjectTests, "proj_1"); problem.From(err).Code != problem.TooManyRequests {
		t.Errorf("one more of a project: %v", err)
	}
	for i := range maxTests - maxProjectTests {
		if err := begin(1000+i, fmt.Sprint("proj_x", i)); err != nil {
			t.Fatalf("of others: %v", err)
		}
	}
	if err := begin(2000, "proj_2"); problem.From(err).Code != problem.TooManyRequests {
		t.Errorf("one more of all: %v", err)
	}
}
