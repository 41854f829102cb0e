package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The pace of replays. All that run take turns, a step each.
const (
	// replayStep is how many deliveries are looked at in a step, and
	// replayPause how long the worker rests after a round of steps.
	replayStep  = 100
	replayPause = 25 * time.Millisecond

	// replayBacklog is how many deliveries of its webhook may be pending for a
	// replay to go on. Beyond that it would only stand in the way of new ones.
	replayBacklog = 1000

	// replayHold is when to look again at replays that cannot go on.
	replayHold = 250 * time.Millisecond

	// replayWriters is how many deliveries are written at a time. The store
	// commits them together.
	replayWriters = 16

	// replayClaim is how long a claim lasts that only changes a delivery.
	replayClaim = time.Minute
)

// replayRun is a replay with what it needs to go on. It is saved after every step; a
// step that was lost with the process is repeated, and knows by Delivery.ReplayedAt
// what it had done.
type replayRun struct {
	mu sync.Mutex // held during a step; guards what follows
	Replay

	// A run walks twice over the deliveries that it selects, status by status:
	// first to count them, then to make them pending.
	counted bool
	pass    int    // index in Status
	cursor  string // of the store, in this pass

	version uint64 // of the record
	failing bool   // the last step failed, and the log knows
	ready   bool   // guarded by replays.mu: the worker may run it
}

// replayRecord is what the store keeps of a replay. Stores have its members by the
// names of Go fields of once.
type replayRecord struct {
	ID         string           `json:"ID"`
	WebhookID  string           `json:"WebhookID"`
	ProjectID  string           `json:"ProjectID"`
	Since      time.Time        `json:"Since"`
	Until      time.Time        `json:"Until"`
	Status     []webhook.Status `json:"Status"`
	State      ReplayState      `json:"State"`
	Count      int              `json:"Count"`
	Done       int              `json:"Done"`
	CreatedAt  time.Time        `json:"CreatedAt"`
	FinishedAt time.Time        `json:"FinishedAt"` // the year 1 while running
	Counted    bool             `json:"Counted"`
	Pass       int              `json:"Pass"`
	Cursor     string           `json:"Cursor"`
}

func readReplay(rec queue.Record) (*replayRun, error) {
	var r replayRecord
	if err := json.Unmarshal(rec.Data, &r); err != nil {
		return nil, fmt.Errorf("read replay %s: %w", rec.ID, err)
	}
	return &replayRun{version: rec.Version, counted: r.Counted, pass: r.Pass, cursor: r.Cursor, Replay: Replay{
		ID: r.ID, WebhookID: r.WebhookID, ProjectID: r.ProjectID, Since: r.Since, Until: r.Until, Status: r.Status,
		State: r.State, Count: r.Count, Done: r.Done, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt,
	}}, nil
}

// encode returns the data of the run's record. The caller holds mu.
func (r *replayRun) encode() ([]byte, error) {
	return json.Marshal(replayRecord{
		ID: r.ID, WebhookID: r.WebhookID, ProjectID: r.ProjectID, Since: r.Since, Until: r.Until, Status: r.Status,
		State: r.State, Count: r.Count, Done: r.Done, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt,
		Counted: r.counted, Pass: r.pass, Cursor: r.cursor,
	})
}

// selects says whether a delivery with one of the run's statuses is to be
// replayed, and has not been already.
func (r *replayRun) selects(d *webhook.Delivery) bool {
	return webhook.IsFor(r.ProjectID, d.ProjectID) && // the webhook may have been another's
		!d.Test && slices.Contains(r.Status, d.Status) && d.ReplayedAt.Before(r.CreatedAt)
}

// query returns the next part of the present walk.
func (r *replayRun) query() queue.DeliveryQuery {
	return queue.DeliveryQuery{
		WebhookID: r.WebhookID, Status: r.Status[r.pass], Since: r.Since, Until: r.Until,
		Cursor: r.cursor, Limit: replayStep,
	}
}

// advance moves on to where the store's next page begins, and says whether the
// walk has come to its end. The next walk then begins.
func (r *replayRun) advance(next string) (ended bool) {
	if r.cursor = next; next == "" {
		r.pass++
	}
	if r.pass < len(r.Status) {
		return false
	}
	r.pass = 0
	return true
}

func (r *replayRun) end(s ReplayState, now time.Time) {
	r.State, r.FinishedAt = s, now.UTC()
}

// replays are the replays that run, and the worker that runs them. The zero
// value runs none. Lock a run's mu before mu, never after.
type replays struct {
	loop

	mu      sync.Mutex
	running map[string]*replayRun // by id
	dryRuns map[string]bool       // under way, by project: one, because each may count for long
}

// load finds the replays that ran when the store was closed.
func (rs *replays) load(ctx context.Context, store queue.Store) error {
	rs.running, rs.dryRuns = make(map[string]*replayRun), make(map[string]bool)
	rs.woken = make(chan struct{}, 1)
	return eachRecord(ctx, store, queue.ReplayRecord, func(rec *queue.Record) error {
		run, err := readReplay(*rec)
		if err == nil && run.State == ReplayRunning {
			run.ready = true
			rs.running[run.ID] = run
		}
		return nil // one that cannot be read cannot go on
	}, nil)
}

func (rs *replays) get(id string) *replayRun {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.running[id]
}

// of returns the runs of a webhook.
func (rs *replays) of(webhookID string) []*replayRun {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var runs []*replayRun
	for _, run := range rs.running {
		if run.WebhookID == webhookID {
			runs = append(runs, run)
		}
	}
	return runs
}

// admit takes a run in, which waits until it is ready, unless there are as many
// as there may be.
func (rs *replays) admit(run *replayRun) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	ofProject := 0
	for _, other := range rs.running {
		switch {
		case other.WebhookID == run.WebhookID:
			return conflict("A replay of this webhook is running. Wait for its end, or cancel it.")
		case other.ProjectID == run.ProjectID:
			ofProject++
		}
	}
	if ofProject >= maxReplaysPerProject {
		return conflict(fmt.Sprintf("%d replays of this project are running. Wait for one to end, or cancel one.", ofProject))
	}
	rs.running[run.ID] = run
	return nil
}

// beginDryRun says whether a project may have a dry run now.
func (rs *replays) beginDryRun(projectID string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.dryRuns[projectID] {
		return false
	}
	rs.dryRuns[projectID] = true
	return true
}

func (rs *replays) endDryRun(projectID string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.dryRuns, projectID)
}

// release lets the worker begin with a run that was admitted.
func (rs *replays) release(run *replayRun) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	run.ready = true
	rs.wake()
}

func (rs *replays) drop(run *replayRun) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.running, run.ID)
}

// list returns the runs that are ready, oldest first.
func (rs *replays) list() []*replayRun {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var runs []*replayRun
	for _, run := range rs.running {
		if run.ready {
			runs = append(runs, run)
		}
	}
	slices.SortFunc(runs, func(a, b *replayRun) int { return strings.Compare(a.ID, b.ID) })
	return runs
}

// start begins to run replays.
func (rs *replays) start(g *Gateway) { rs.loop.start(g.log, "running replays", 0, g.replayRound) }

// replayRound makes a step of each run and returns when to make the next.
func (g *Gateway) replayRound(ctx context.Context) (pause time.Duration) {
	pause = loopSleeps
	for _, run := range g.replays.list() {
		if g.runReplay(ctx, run) {
			pause = replayPause
		} else {
			pause = min(pause, replayHold)
		}
	}
	return pause
}

// runReplay makes a step of a run and says whether it could.
func (g *Gateway) runReplay(ctx context.Context, run *replayRun) (moved bool) {
	defer func() {
		if p := recover(); p != nil {
			// It is taken up again at the next start.
			g.log.Error("panic in a replay", zap.String("replay_id", run.ID), zap.Any("panic", p), zap.Stack("stack"))
			g.replays.drop(run)
		}
	}()
	run.mu.Lock()
	defer run.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if run.State == ReplayRunning {
		err := g.stepReplay(ctx, run)
		switch {
		case errors.Is(err, errReplayWaits):
			return false
		case err != nil:
			g.replayFailed(run, err)
		}
		moved = err == nil
		run.failing = run.failing && !moved
	}
	// The outcome is saved even when the gateway is closing: it is one write.
	if err := g.saveReplay(ctx, run); err != nil {
		g.replayFailed(run, err)
		return false
	}
	if run.State != ReplayRunning {
		g.replays.drop(run)
	}
	return moved
}

func (g *Gateway) replayFailed(run *replayRun, err error) {
	if run.failing || errors.Is(err, queue.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	run.failing = true
	g.log.Warn("a replay cannot go on now", zap.String("replay_id", run.ID), zap.Error(err))
}

// errReplayWaits: the webhook has enough to do, or cannot do anything.
var errReplayWaits = errors.New("replay waits")

// stepReplay makes a step of a run that is running.
func (g *Gateway) stepReplay(ctx context.Context, run *replayRun) error {
	if !run.counted {
		return g.countStep(ctx, run)
	}
	switch h := g.webhooks.get(run.WebhookID); {
	case h == nil && !g.webhooks.unreadable(run.WebhookID), // deleted
		h != nil && h.sub.State == webhook.Disabled:
		run.end(ReplayCancelled, g.now())
		return nil
	case h == nil,
		g.store.Backlog(run.WebhookID) >= replayBacklog,
		g.store.Backlog("") >= g.current.Load().settings.MaxPending:
		return errReplayWaits
	}
	return g.replayStep(ctx, run)
}

// countStep counts a part of what a run selects.
func (g *Gateway) countStep(ctx context.Context, run *replayRun) error {
	page, err := g.store.Deliveries(ctx, run.query())
	if err != nil {
		return err
	}
	for i := range page.Deliveries {
		if run.selects(&page.Deliveries[i]) {
			run.Count++
		}
	}
	run.counted = run.advance(page.Next)
	return nil
}

// replayStep makes a part of what a run selects pending.
func (g *Gateway) replayStep(ctx context.Context, run *replayRun) error {
	page, err := g.store.Deliveries(ctx, run.query())
	if err != nil {
		return err
	}
	var ids []string
	for i := range page.Deliveries {
		if d := &page.Deliveries[i]; run.selects(d) {
			ids = append(ids, d.ID)
		}
	}
	done, err := g.replayAll(ctx, run, ids)
	run.Done += done
	run.Count = max(run.Count, run.Done) // some came to a status of the run meanwhile
	if err != nil {
		return err
	}
	if run.advance(page.Next) {
		run.Done = run.Count // the others have left the statuses of the run
		run.end(ReplayDone, g.now())
	}
	return nil
}

// replayAll makes deliveries pending and counts those that it is done with.
func (g *Gateway) replayAll(ctx context.Context, run *replayRun, ids []string) (done int, err error) {
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
	)
	for chunk := range slices.Chunk(ids, max(1, (len(ids)+replayWriters-1)/replayWriters)) {
		wg.Go(func() {
			n, err := g.replayEach(ctx, run, chunk)
			mu.Lock()
			defer mu.Unlock()
			done += n
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return done, errors.Join(errs...)
}

func (g *Gateway) replayEach(ctx context.Context, run *replayRun, ids []string) (done int, err error) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("panic in a replay", zap.String("replay_id", run.ID), zap.Any("panic", p), zap.Stack("stack"))
			err = errors.New("panic")
		}
	}()
	for _, id := range ids {
		if err := g.replayOne(ctx, run, id); err != nil {
			return done, fmt.Errorf("replay delivery %s: %w", id, err)
		}
		done++
	}
	return done, nil
}

// replayOne makes a delivery pending, unless it has changed meanwhile. One that
// somebody has claimed is being attempted by hand, and is left to that.
func (g *Gateway) replayOne(ctx context.Context, run *replayRun, id string) error {
	now := g.now()
	c, err := g.store.ClaimOne(ctx, id, g.owner, now, now.Add(replayClaim))
	switch {
	case errors.Is(err, queue.ErrClaimed), errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrCorrupt):
		return nil
	case err != nil:
		return err
	}
	if !run.selects(&c.Delivery) {
		return g.giveBack(ctx, c)
	}
	at := now
	if at.Before(run.CreatedAt) { // the clock was set back
		at = run.CreatedAt
	}
	err = g.store.Finish(context.WithoutCancel(ctx), c.Claim, queue.Result{
		Status: webhook.Pending, NextAttemptAt: now, At: at, Replay: true,
	})
	if errors.Is(err, queue.ErrClaimLost) {
		return nil
	}
	return err
}

// giveBack ends a claim that changes nothing.
func (g *Gateway) giveBack(ctx context.Context, c queue.Claimed) error {
	err := g.store.Release(context.WithoutCancel(ctx), c.Claim, c.Delivery.NextAttemptAt)
	if errors.Is(err, queue.ErrClaimLost) {
		return nil
	}
	return err
}
