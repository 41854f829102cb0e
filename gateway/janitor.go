package gateway

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// janitor removes what is older than the retention, in small steps with pauses
// between them, so that live traffic does not notice.
type janitor struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	// cutoff is what the next removal goes by, and since when it was reckoned.
	// They belong to the janitor's goroutine.
	cutoff time.Time
	since  time.Time
}

const (
	janitorStep  = 500 // events
	janitorPause = 50 * time.Millisecond
	janitorRound = time.Minute

	// janitorHold is how long an age must have held: a clock that is wrong for
	// a moment must not remove everything.
	janitorHold = time.Hour
)

// start begins the janitor's rounds, the first after janitorRound.
func (j *janitor) start(g *Gateway) {
	ctx, cancel := context.WithCancel(context.Background())
	j.cancel = cancel
	j.done.Go(func() {
		timer := time.NewTimer(janitorRound)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			timer.Reset(g.tidy(ctx))
		}
	})
}

// cancelRound asks the janitor to end. Without start it does nothing.
func (j *janitor) cancelRound() {
	if j.cancel != nil {
		j.cancel()
	}
}

// wait waits for the janitor's end.
func (j *janitor) wait() { j.done.Wait() }

// before returns the time before which events are to be removed: one that was
// reckoned a while ago and that the clock has not gone back behind since. False:
// there is none yet.
func (j *janitor) before(now time.Time, retention time.Duration) (time.Time, bool) {
	cutoff := now.Add(-retention)
	if j.since.IsZero() || cutoff.Before(j.cutoff) {
		j.cutoff, j.since = cutoff, time.Now()
		return time.Time{}, false
	}
	if time.Since(j.since) < min(janitorHold, retention) {
		return time.Time{}, false
	}
	held := j.cutoff
	return held, true
}

// passed notes that all before the cutoff is removed.
func (j *janitor) passed() { j.since = time.Time{} }

// tidy makes one step and returns when to make the next.
func (g *Gateway) tidy(ctx context.Context) (pause time.Duration) {
	pause = janitorRound
	defer func() {
		if r := recover(); r != nil {
			g.log.Error("panic while removing old events", zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	gen := g.current.Load()
	if gen == nil {
		return pause
	}
	before, ok := g.janitor.before(g.now(), gen.settings.Retention)
	if !ok {
		return pause
	}
	n, more, err := g.store.Retire(ctx, before, janitorStep)
	switch {
	case err == nil:
	case errors.Is(err, queue.ErrClosed), errors.Is(err, context.Canceled):
		return pause
	default:
		g.log.Error("old events could not be removed", zap.Error(err))
		return pause
	}
	if n > 0 {
		g.log.Debug("old events removed", zap.Int("events", n))
	}
	if more {
		return janitorPause
	}
	g.janitor.passed()
	return pause
}
