package gateway

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAProjectHasOneDryRunAtATime(t *testing.T) {
	rs := replays{dryRuns: make(map[string]bool)}
	if !rs.beginDryRun("proj_1") || rs.beginDryRun("proj_1") || !rs.beginDryRun("proj_2") {
		t.Error("want one of each project")
	}
	rs.endDryRun("proj_1")
	if !rs.beginDryRun("proj_1") {
		t.Error("after the end of the first there is none")
	}
}

func TestCountingEndsWithItsClient(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(Gateway).count(ctx, new(replayRun), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
