package dispatch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tengineai/webhook-gateway/dispatch"
)

func TestNothingIsOldBeforeTheWallClockHasHeldForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wall wallClock
		const age = 30 * day
		old := func(c *dispatch.AgeClock) bool { return !c.Cutoff(age).Before(wall.now().Add(-age)) }

		c := dispatch.NewAgeClock(wall.now)
		time.Sleep(time.Hour - 1)
		if got := c.Cutoff(age); got.After(time.Unix(0, 0)) {
			t.Errorf("just before an hour has passed the cutoff is %v, want none", got)
		}
		time.Sleep(time.Nanosecond)
		if !old(c) {
			t.Error("the time is not believed after an hour")
		}

		before := c.Cutoff(age)
		wall.jump(40 * day)
		for range 59 {
			if got, want := c.Cutoff(age), before.Add(time.Minute); got.After(want) {
				t.Fatalf("the cutoff has moved to %v within an hour of a jump, want at most %v", got, want)
			}
			before = c.Cutoff(age)
			time.Sleep(time.Minute)
		}
		wall.jump(-day) // still ahead, by less
		time.Sleep(time.Minute)
		if !old(c) {
			t.Error("the least that the wall clock has shown for an hour is not believed")
		}
		wall.jump(-80 * day)
		if got, want := c.Cutoff(age), wall.now().Add(-age); got.After(want) {
			t.Errorf("the cutoff is %v after the clock went back, want %v", got, want)
		}
	})
}

func TestAShortAgeAsksForLessPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dispatch.NewAgeClock(nil)
		time.Sleep(2 * time.Second)
		if got, want := c.Cutoff(2*time.Second), time.Now().Add(-2*time.Second); !got.Equal(want) {
			t.Errorf("the cutoff is %v, want %v", got, want)
		}
	})
}

// TestCutoffIsNeverAheadOfAnyTimeOfTheLastHour has a wall clock that jumps about.
func TestCutoffIsNeverAheadOfAnyTimeOfTheLastHour(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [2]time.Duration {
			return [2]time.Duration{
				time.Duration(rapid.Int64Range(0, int64(90*time.Minute)).Draw(rt, "pass")),
				time.Duration(rapid.Int64Range(-int64(60*day), int64(60*day)).Draw(rt, "jump")),
			}
		}), 1, 30).Draw(rt, "steps")
		const age = 30 * day
		wrong := "" // told outside of the bubble, so that rapid finds a smaller case
		synctest.Test(t, func(t *testing.T) {
			var wall wallClock
			c, began := dispatch.NewAgeClock(wall.now), time.Now()
			shifts := map[time.Time]time.Duration{began: 0} // what was seen, and when
			for _, s := range steps {
				time.Sleep(s[0])
				now := time.Now()
				wall.jump(s[1])
				shifts[now] = wall.now().Sub(now)
				got := c.Cutoff(age).Add(age).Sub(now) // the shift that is believed
				if now.Sub(began) < time.Hour && got > -20*365*day {
					wrong = fmt.Sprintf("a time is believed %v after the start", now.Sub(began))
				}
				if got > shifts[now] {
					wrong = fmt.Sprintf("the cutoff is %v ahead of the wall clock", got-shifts[now])
				}
				for at, shift := range shifts {
					if now.Sub(at) < time.Hour && got > shift {
						wrong = fmt.Sprintf("the cutoff is ahead of what the wall clock showed %v ago", now.Sub(at))
					}
				}
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}
