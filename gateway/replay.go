package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The limits of replays.
const (
	// maxReplaysPerProject is how many replays of a project may run at a time,
	// one of each webhook at most.
	maxReplaysPerProject = 10

	// keptReplays is how many finished replays of a project are remembered.
	keptReplays = 100

	// countTime is how long a call counts. A replay that is not counted by then
	// goes on counting before it begins.
	countTime = 2 * time.Second

	// dryRunTime is how long a dry run counts before it is refused.
	dryRunTime = 20 * time.Second
)

// replayable are the statuses that a replay can select.
var replayable = []webhook.Status{webhook.Failed, webhook.Delivered, webhook.Skipped, webhook.FilterError}

// ReplayRequest selects the deliveries to send again: those created in [Since,
// Until) that have one of the statuses. Until zero is now; no status is Failed.
type ReplayRequest struct {
	Since, Until time.Time
	Status       []webhook.Status
	DryRun       bool // only count
}

// Replay is the progress of a replay. A dry run has no ID.
type Replay struct {
	ID           string // "rpl_…"
	WebhookID    string
	ProjectID    string
	Since, Until time.Time
	Status       []webhook.Status
	State        ReplayState
	Count        int // deliveries that were selected
	Done         int // of them made pending again, or found changed meanwhile
	CreatedAt    time.Time
	FinishedAt   time.Time // zero while running
}

// ReplayState is where a replay stands.
type ReplayState string

const (
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
)

// Replay makes deliveries of a webhook pending again: those created in [Since,
// Until) that have one of the statuses, but for test events. They keep their
// ids and get a fresh schedule. It goes on by itself after Replay has returned,
// also after a restart, at a pace that leaves room for new events; while the
// webhook is disabled there is none.
//
// The count of a dry run is exact for the moment. That of a replay is, too,
// unless counting takes long: it then grows until State is no longer running.
func (g *Gateway) Replay(ctx context.Context, by *Key, webhookID string, r ReplayRequest) (Replay, error) {
	gen, err := g.admit(by, ScopeManage)
	if err != nil {
		return Replay{}, err
	}
	hook, err := gen.webhookOrParkedFor(by, webhookID)
	if err != nil {
		return Replay{}, err
	}
	now := g.now()
	run, err := newReplayRun(r, now)
	if err != nil {
		return Replay{}, err
	}
	run.WebhookID, run.ProjectID = webhookID, hook.ProjectID
	if r.DryRun {
		return g.dryRun(ctx, run)
	}
	switch {
	case g.Closing():
		return Replay{}, stopping()
	case hook.State == webhook.Disabled:
		return Replay{}, replayOfDisabled()
	case gen.webhook(webhookID) == nil:
		return Replay{}, conflict("The webhook is missing from the configuration; nothing can be sent to it until it returns.")
	}
	run.ID = newReplayID(now)
	return g.startReplay(ctx, run)
}

func replayOfDisabled() *problem.Error {
	return conflict("The webhook is disabled: what is pending would be skipped again. Make it active first.")
}

// CheckReplay returns what Replay would find wrong with a request.
func (g *Gateway) CheckReplay(r ReplayRequest) []problem.Item {
	_, err := newReplayRun(r, g.now())
	return itemsOf(err)
}

// newReplayRun checks a request for a replay.
func newReplayRun(r ReplayRequest, now time.Time) (*replayRun, error) {
	var items []problem.Item
	refuse := func(code problem.Code, pointer, detail string) {
		items = append(items, problem.Item{Code: code, Pointer: pointer, Detail: detail})
	}
	if len(r.Status) == 0 {
		r.Status = []webhook.Status{webhook.Failed}
	}
	var statuses []webhook.Status
	for i, s := range r.Status {
		switch {
		case !slices.Contains(replayable, s):
			refuse(problem.InvalidValue, fmt.Sprintf("#/status/%d", i), "A replay takes deliveries that are failed, delivered, skipped or filter_error.")
		case !slices.Contains(statuses, s):
			statuses = append(statuses, s)
		}
	}
	if r.Until.IsZero() || r.Until.After(now) {
		r.Until = now // what comes later is no matter of this replay
	}
	switch {
	case r.Since.IsZero():
		refuse(problem.Missing, "#/since", "Say from when on deliveries are to be replayed.")
	case !r.Since.Before(r.Until):
		refuse(problem.InvalidValue, "#/since", `"since" must lie before "until" and before now.`)
	}
	if len(items) > 0 {
		return nil, problem.New(problem.Invalid, "The replay breaks a rule.", items...)
	}
	return &replayRun{Replay: Replay{
		Since: r.Since.UTC(), Until: r.Until.UTC(), Status: statuses,
		State: ReplayRunning, CreatedAt: now.UTC(),
	}}, nil
}

func newReplayID(now time.Time) string { return "rpl_" + ulidOf(now) }

// ulidOf returns a new ULID.
func ulidOf(now time.Time) string { return webhook.NewEventID(now)[len("evt_"):] }

// dryRun counts what a replay would select.
func (g *Gateway) dryRun(ctx context.Context, run *replayRun) (Replay, error) {
	if !g.replays.beginDryRun(run.ProjectID) {
		return Replay{}, problem.Later(problem.TooManyRequests, "A dry run of this project is under way. Send the request again.", time.Second)
	}
	defer g.replays.endDryRun(run.ProjectID)
	counted, err := g.count(ctx, run, dryRunTime)
	if err != nil {
		return Replay{}, refusal(err, noReplay())
	}
	if !counted {
		return Replay{}, problem.New(problem.Invalid, "There is too much to count at once.",
			problem.Item{Code: problem.InvalidValue, Pointer: "#/since", Detail: "Ask for a shorter time."})
	}
	run.State = ReplayDone
	return run.Replay, nil
}

// count counts what a run selects, for as long as it may take, and says
// whether it has come to the end.
func (g *Gateway) count(ctx context.Context, run *replayRun, limit time.Duration) (counted bool, err error) {
	for began := time.Now(); !run.counted; {
		if err := ctx.Err(); err != nil {
			return false, err // the client is gone
		}
		if time.Since(began) > limit {
			return false, nil
		}
		if err := g.countStep(ctx, run); err != nil {
			return false, err
		}
	}
	return true, nil
}

// startReplay remembers a replay and lets it run.
func (g *Gateway) startReplay(ctx context.Context, run *replayRun) (Replay, error) {
	rs := &g.replays
	if err := rs.admit(run); err != nil {
		return Replay{}, err
	}
	started := false
	defer func() {
		if !started {
			rs.drop(run)
		}
	}()
	run.mu.Lock() // the worker waits
	defer run.mu.Unlock()
	if _, err := g.count(ctx, run, countTime); err != nil {
		return Replay{}, refusal(err, noReplay())
	}
	if h := g.webhooks.get(run.WebhookID); h != nil && h.sub.State == webhook.Disabled { // since it was admitted
		return Replay{}, replayOfDisabled()
	}
	if err := g.saveReplay(ctx, run); err != nil {
		return Replay{}, refusal(err, noReplay())
	}
	started = true
	g.forgetOldReplays(ctx, run.ProjectID)
	rs.release(run)
	return run.Replay, nil
}

// ReplayStatus returns a replay and how far it has come.
func (g *Gateway) ReplayStatus(ctx context.Context, by *Key, id string) (Replay, error) {
	if err := RequireScope(by, ScopeRead); err != nil {
		return Replay{}, err
	}
	run, err := g.replayFor(ctx, by, id)
	if err != nil {
		return Replay{}, err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	return run.Replay, nil
}

// CancelReplay ends a replay: nothing more becomes pending after it has
// returned. What became pending before stays so. A replay that has ended
// already stays as it is.
func (g *Gateway) CancelReplay(ctx context.Context, by *Key, id string) (Replay, error) {
	if err := RequireScope(by, ScopeManage); err != nil {
		return Replay{}, err
	}
	run, err := g.replayFor(ctx, by, id)
	if err != nil {
		return Replay{}, err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.State != ReplayRunning {
		return run.Replay, nil
	}
	before := run.Replay
	run.end(ReplayCancelled, g.now())
	if err := g.saveReplay(ctx, run); err != nil {
		run.Replay = before
		return Replay{}, refusal(err, noReplay())
	}
	g.replays.drop(run)
	return run.Replay, nil
}

// endReplays cancels the replays of a webhook that was disabled. They do not wait
// for the worker to find it so: it may be enabled again by then. The caller holds
// the webhook's lock.
func (g *Gateway) endReplays(webhookID string) {
	for _, run := range g.replays.of(webhookID) {
		g.endReplay(run)
	}
}

func (g *Gateway) endReplay(run *replayRun) {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.State != ReplayRunning || run.version == 0 { // or it was refused before it began
		return
	}
	run.end(ReplayCancelled, g.now())
	if err := g.saveReplay(context.Background(), run); err != nil {
		g.replayFailed(run, err) // the worker saves it
		return
	}
	g.replays.drop(run)
}

// saveReplay writes a run. The caller holds the run's mu. When it is unknown
// whether the store has done it, the next one finds out. It does not heed the end
// of ctx: a replay whose client went away would begin at the next start.
func (g *Gateway) saveReplay(ctx context.Context, run *replayRun) error {
	ctx = context.WithoutCancel(ctx)
	data, err := run.encode()
	if err != nil {
		return fmt.Errorf("encode replay: %w", err)
	}
	rec := queue.Record{Kind: queue.ReplayRecord, ID: run.ID, ProjectID: run.ProjectID, Version: run.version, Data: data}
	version, err := g.store.PutRecord(ctx, rec)
	if errors.Is(err, queue.ErrVersion) {
		var have queue.Record
		if have, err = g.store.Record(ctx, queue.ReplayRecord, run.ID); err == nil {
			rec.Version = have.Version
			version, err = g.store.PutRecord(ctx, rec)
		}
	}
	if err != nil {
		return fmt.Errorf("save replay %s: %w", run.ID, err)
	}
	run.version = version
	return nil
}

// forgetOldReplays removes the oldest finished replays of a project beyond
// those that are kept. What fails is done the next time.
func (g *Gateway) forgetOldReplays(ctx context.Context, projectID string) {
	page, err := g.store.Records(ctx, queue.ReplayRecord, projectID, "", keptReplays+2*maxReplaysPerProject)
	if err != nil {
		return
	}
	excess := len(page.Records) - keptReplays
	for _, rec := range page.Records { // oldest first: the ids begin with their time
		if excess <= 0 {
			return
		}
		if g.replays.get(rec.ID) == nil {
			_ = g.store.DeleteRecord(ctx, queue.ReplayRecord, rec.ID)
			excess--
		}
	}
}
