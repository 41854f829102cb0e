package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAMomentsWrongClockRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention = 30 * 24 * time.Hour
		var j janitor
		now := time.Now
		if _, ok := j.before(now().Add(40*24*time.Hour), retention); ok { // a glitch
			t.Fatal("a first look removes already")
		}
		time.Sleep(time.Minute)
		if _, ok := j.before(now(), retention); ok {
			t.Fatal("the clock went back, and still it removes")
		}
		reckoned := now()
		time.Sleep(janitorHold - time.Second)
		if _, ok := j.before(now(), retention); ok {
			t.Fatal("removes before the age has held")
		}
		time.Sleep(time.Second)
		got, ok := j.before(now(), retention)
		if want := reckoned.Add(-retention); !ok || !got.Equal(want) {
			t.Fatalf("got %v %v, want %v", got, ok, want)
		}
	})
}
