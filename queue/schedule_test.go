package queue_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/queue"
)

var end = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// within fails unless got is at least want after end, and at most a tenth more.
func within(t rapid.TB, got time.Time, want time.Duration) {
	t.Helper()
	wait := got.Sub(end)
	if wait < want || wait > want+want/10 {
		t.Errorf("wait is %v, want %v to %v", wait, want, want+want/10)
	}
}

func TestDefaultScheduleIsTheContracts(t *testing.T) {
	s := queue.DefaultSchedule()
	for i, want := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour} {
		next, ok := s.Next(i+1, end, 0)
		if !ok {
			t.Fatalf("no attempt follows number %d", i+1)
		}
		within(t, next, want)
	}
	if next, ok := s.Next(6, end, 0); ok || !next.IsZero() {
		t.Errorf("an attempt follows the last one, at %v", next)
	}
}

func TestEmptyScheduleHasOneAttempt(t *testing.T) {
	for _, s := range []queue.Schedule{nil, {}} {
		if _, ok := s.Next(1, end, time.Hour); ok {
			t.Error("a second attempt follows")
		}
		if got := s.Longest(); got != 0 {
			t.Errorf("longest wait is %v", got)
		}
	}
}

func TestRetryAfterOnlyLengthens(t *testing.T) {
	s := queue.Schedule{time.Minute}
	for retryAfter, want := range map[time.Duration]time.Duration{
		-time.Hour:       time.Minute,
		0:                time.Minute,
		time.Second:      time.Minute,
		90 * time.Second: 90 * time.Second,
		2 * time.Minute:  2 * time.Minute,
		time.Hour:        2 * time.Minute,
	} {
		next, ok := s.Next(1, end, retryAfter)
		if !ok {
			t.Fatal("no attempt follows")
		}
		within(t, next, want)
	}
}

func TestRetryAfterAndJitterLengthenToTwiceTheStepTogether(t *testing.T) {
	s := queue.Schedule{time.Minute}
	for _, retryAfter := range []time.Duration{115 * time.Second, 2 * time.Minute, time.Hour} {
		for range 1000 {
			next, _ := s.Next(1, end, retryAfter)
			if wait := next.Sub(end); wait < min(retryAfter, 2*time.Minute) || wait > 2*time.Minute {
				t.Fatalf("Retry-After %v: wait is %v", retryAfter, wait)
			}
		}
	}
}

func TestNextStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOf(rapid.Int64Range(int64(time.Second), int64(7*24*time.Hour))).Draw(t, "steps")
		var s queue.Schedule
		for _, n := range steps {
			s = append(s, time.Duration(n))
		}
		step := rapid.IntRange(-1, len(s)+2).Draw(t, "step")
		retryAfter := time.Duration(rapid.Int64().Draw(t, "retry after"))
		next, ok := s.Next(step, end, retryAfter)
		if exists := step >= 1 && step <= len(s); ok != exists {
			t.Fatalf("step %d of %d: %v", step, len(s), ok)
		}
		if !ok {
			return
		}
		wait := s[step-1]
		if retryAfter > wait {
			wait = min(retryAfter, 2*wait)
		}
		within(t, next, wait)
		if next.Sub(end) > s.Longest() {
			t.Errorf("wait is %v, longer than the longest, %v", next.Sub(end), s.Longest())
		}
	})
}

func TestJitterSpreads(t *testing.T) {
	s := queue.Schedule{time.Hour}
	seen := map[time.Time]bool{}
	for range 100 {
		next, _ := s.Next(1, end, 0)
		seen[next] = true
	}
	if len(seen) < 90 {
		t.Errorf("100 waits have %d values", len(seen))
	}
}
