package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetEndsOnTime(t *testing.T) {
	const timeout = 5 * time.Second
	endsIn := func(t *testing.T, b *budget, d time.Duration) {
		t.Helper()
		time.Sleep(d - time.Nanosecond)
		synctest.Wait()
		if err := b.Err(); err != nil {
			t.Fatalf("it ended before %v: %v", d, err)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if err := b.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %v it has not ended: %v", d, err)
		}
	}
	for name, fn := range map[string]func(*testing.T, *budget){
		"without headers": func(t *testing.T, b *budget) { endsIn(t, b, timeout) },
		"headers at once": func(t *testing.T, b *budget) {
			b.extend(2 * timeout)
			endsIn(t, b, 2*timeout)
		},
		"headers at the last moment": func(t *testing.T, b *budget) {
			time.Sleep(timeout - time.Nanosecond)
			b.extend(bodyTime)
			endsIn(t, b, bodyTime)
		},
		"too late": func(t *testing.T, b *budget) {
			endsIn(t, b, timeout)
			b.extend(bodyTime)
			if b.Err() == nil {
				t.Error("what was spent was extended")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(t.Context(), time.Now(), timeout)
				defer b.end()
				fn(t, b)
			})
		})
	}
}
