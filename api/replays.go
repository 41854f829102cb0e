package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// replayRequest is the body that starts a replay.
type replayRequest struct {
	Since  member[moment]   `json:"since" doc:"Deliveries created at this time or later."`
	Until  member[moment]   `json:"until" required:"false" nullable:"true" doc:"Deliveries created before this time. Default: now."`
	Status member[[]string] `json:"status" required:"false" nullable:"true" minItems:"1" ifempty:"Name a status, or leave this out for failed." enum:"delivered,failed,skipped,filter_error" doc:"Deliveries with one of these. Default: failed."`
	DryRun member[bool]     `json:"dry_run" required:"false" doc:"Only count."`
}

func (b *replayRequest) request() gateway.ReplayRequest {
	r := gateway.ReplayRequest{Since: time.Time(b.Since.Value), Until: time.Time(b.Until.Value), DryRun: b.DryRun.Value}
	for _, s := range b.Status.Value {
		r.Status = append(r.Status, webhook.Status(s))
	}
	return r
}

func checkReplay(c *call, b *replayRequest) []problem.Item { return c.gw.CheckReplay(b.request()) }

// wireReplayStart is the answer to a replay that was asked for.
type wireReplayStart struct {
	ID    string `json:"id,omitempty" doc:"Not there in a dry run."`
	Count int    `json:"count" minimum:"0" doc:"How many deliveries were selected."`
}

// wireReplay is the progress of a replay.
type wireReplay struct {
	ID         string     `json:"id"`
	WebhookID  string     `json:"webhook_id"`
	ProjectID  string     `json:"project_id"`
	Since      time.Time  `json:"since"`
	Until      time.Time  `json:"until"`
	Status     []string   `json:"status" nullable:"false" doc:"The statuses that were selected."`
	State      string     `json:"state" enum:"running,done,cancelled"`
	Count      int        `json:"count" minimum:"0" doc:"How many deliveries were selected."`
	Done       int        `json:"done" minimum:"0" doc:"How many of them were dealt with."`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at" doc:"Null while running."`
}

func newWireReplay(r *gateway.Replay) wireReplay {
	out := wireReplay{
		ID:         r.ID,
		WebhookID:  r.WebhookID,
		ProjectID:  r.ProjectID,
		Since:      r.Since.UTC(),
		Until:      r.Until.UTC(),
		Status:     make([]string, len(r.Status)),
		State:      string(r.State),
		Count:      r.Count,
		Done:       r.Done,
		CreatedAt:  r.CreatedAt.UTC(),
		FinishedAt: timeOrNull(r.FinishedAt),
	}
	for i, s := range r.Status {
		out.Status[i] = string(s)
	}
	return out
}

func (a *API) registerReplays(h huma.API) {
	type started struct {
		Status int
		Body   wireReplayStart
	}
	register(a, h, operation[replayRequest]{
		id: "replay", method: http.MethodPost, path: "/webhooks/{id}/replay",
		summary: "Send deliveries again",
		description: "Deliveries created in [since, until) with one of the statuses become pending again: same id, next number, fresh schedule. " +
			"Those of test events are left out. A dry run only counts, and answers 200.",
		scope: gateway.ScopeManage, status: http.StatusAccepted, also: also{http.StatusOK, "The count of a dry run"}, errors: []int{http.StatusConflict},
		exists: historyExists, check: checkReplay, request: map[string]any{"since": "2024-01-01T00:00:00Z", "status": []string{"failed"}, "dry_run": false},
	}, func(c *call, in *webhookPath, b *replayRequest) (*started, error) {
		r, err := c.gw.Replay(c, c.by, in.ID, b.request())
		if err != nil {
			return nil, err
		}
		if b.DryRun.Value {
			return &started{http.StatusOK, wireReplayStart{Count: r.Count}}, nil
		}
		return &started{http.StatusAccepted, wireReplayStart{ID: r.ID, Count: r.Count}}, nil
	})

	type replayPath struct {
		ID string `path:"id" doc:"The replay's id: rpl_…."`
	}
	type replay struct{ Body wireReplay }
	register(a, h, operation[noBody]{
		id: "get-replay", method: http.MethodGet, path: "/replays/{id}",
		summary: "Read the progress of a replay", scope: gateway.ScopeRead, exists: replayExists,
	}, func(c *call, in *replayPath, _ *noBody) (*replay, error) {
		r, err := c.gw.ReplayStatus(c, c.by, in.ID)
		if err != nil {
			return nil, err
		}
		return &replay{newWireReplay(&r)}, nil
	})
	register(a, h, operation[noBody]{
		id: "cancel-replay", method: http.MethodDelete, path: "/replays/{id}",
		summary: "Cancel a replay", description: "What it has made pending already is sent. One that has ended stays as it is.",
		scope: gateway.ScopeManage, exists: replayExists, errors: []int{http.StatusConflict},
	}, func(c *call, in *replayPath, _ *noBody) (*replay, error) {
		r, err := c.gw.CancelReplay(c, c.by, in.ID)
		if err != nil {
			return nil, err
		}
		return &replay{newWireReplay(&r)}, nil
	})
}

func replayExists(c *call) error {
	return onlyMissing(c.gw.ReplayStatus(c, c.asReader(), c.path("id")))
}
