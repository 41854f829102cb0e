package gateway

import (
	"context"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"
)

// loop does work in rounds, in a goroutine of its own. What is asked of one that
// was not started does nothing. One that was cancelled can be started again, also
// before its last round has ended.
type loop struct {
	end   context.CancelFunc // nil: not started
	ended sync.WaitGroup
	woken chan struct{} // for wake, with room for one; nil: the loop is never woken
}

// What a round can return beside the time to the next one.
const (
	loopEnds   time.Duration = -1
	loopSleeps time.Duration = math.MaxInt64 // until it is woken
)

// panicPause is the time between a round that panicked and the next one.
const panicPause = time.Minute

// start has the first round made after a pause, and each further one after the
// pause that the one before it returned. doing says for the log what a round does.
func (l *loop) start(log *zap.Logger, doing string, pause time.Duration, round func(context.Context) time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	guarded := func() (pause time.Duration) {
		defer func() {
			if p := recover(); p != nil {
				log.Error("panic while "+doing, zap.Any("panic", p), zap.Stack("stack"))
				pause = panicPause
			}
		}()
		return round(ctx)
	}
	l.ended.Go(func() {
		defer cancel()
		timer := time.NewTimer(pause)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-l.woken:
			}
			if ctx.Err() != nil {
				return
			}
			if pause = guarded(); pause == loopEnds {
				return
			}
			timer.Reset(pause)
		}
	})
}

func (l *loop) started() bool { return l.end != nil }

// wake makes the next round begin at once.
func (l *loop) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// cancel asks the loop to end: no further round begins, and the context of the
// present one ends.
func (l *loop) cancel() {
	if l.end != nil {
		l.end()
	}
}

// wait waits for the end of the loop, and of those that it was before.
func (l *loop) wait() { l.ended.Wait() }

// stop cancels the loop and waits for its end.
func (l *loop) stop() {
	l.cancel()
	l.wait()
}
