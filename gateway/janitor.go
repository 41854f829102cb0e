package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
)

// janitor removes what is older than the retention, in small steps with pauses
// between them, so that live traffic does not notice.
type janitor struct {
	loop
	ages *dispatch.AgeClock // the janitor's own
}

const (
	janitorStep  = 500 // events
	janitorPause = 50 * time.Millisecond
	janitorRound = time.Minute // at most
)

// pauseOf returns the time between rounds: shorter where little is kept.
func pauseOf(retention time.Duration) time.Duration {
	return min(janitorRound, max(retention/10, time.Second))
}

// start begins the janitor's rounds.
func (j *janitor) start(g *Gateway) {
	j.ages = dispatch.NewAgeClock(g.now)
	j.loop.start(g.log, "removing old events", pauseOf(g.Settings().Retention), g.tidy)
}

// tidy makes one step and returns when to make the next.
func (g *Gateway) tidy(ctx context.Context) (pause time.Duration) {
	gen := g.current.Load()
	if gen == nil {
		return janitorRound
	}
	pause = pauseOf(gen.settings.Retention)
	cutoff := g.janitor.ages.Cutoff(gen.settings.Retention)
	g.tidyParked(ctx, cutoff)
	n, more, err := g.store.Retire(ctx, cutoff, janitorStep)
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
	return pause
}
