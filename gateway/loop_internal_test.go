package gateway

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestLoopMakesRoundsUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		began := time.Now()
		var at []time.Duration
		pauses := []time.Duration{time.Minute, loopSleeps, time.Hour, loopEnds}
		l := loop{woken: make(chan struct{}, 1)}
		l.start(zap.NewNop(), "testing", time.Second, func(context.Context) time.Duration {
			at = append(at, time.Since(began))
			return pauses[len(at)-1]
		})
		time.Sleep(day)
		l.wake() // from sleep
		time.Sleep(time.Second)
		l.wake() // before the pause is over
		l.wait()
		if want := []time.Duration{time.Second, time.Minute + time.Second, day, day + time.Second}; !slices.Equal(at, want) {
			t.Errorf("rounds after %v, want %v", at, want)
		}
	})
}

func TestLoopGoesOnAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.ErrorLevel)
		var rounds atomic.Int32
		var l loop
		l.start(zap.New(core), "testing", 0, func(context.Context) time.Duration {
			if rounds.Add(1) == 1 {
				panic("oh")
			}
			return loopEnds
		})
		time.Sleep(panicPause - time.Second)
		synctest.Wait()
		if rounds.Load() != 1 || logged.FilterMessage("panic while testing").Len() != 1 {
			t.Errorf("%d rounds, logged %v", rounds.Load(), logged.All())
		}
		l.wait()
		if rounds.Load() != 2 {
			t.Errorf("%d rounds, want 2", rounds.Load())
		}
	})
}

func TestLoopEndsItsRound(t *testing.T) {
	var l loop
	l.start(zap.NewNop(), "testing", 0, func(ctx context.Context) time.Duration {
		<-ctx.Done()
		return 0
	})
	l.stop()
}

func TestLoopThatWasNotStarted(t *testing.T) {
	var l loop
	l.wake()
	l.stop()
	if l.started() {
		t.Error("it says that it was started")
	}
}
