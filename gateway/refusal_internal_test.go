package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
)

func TestErrorsOfTheStoreAreToldToClients(t *testing.T) {
	const unknown = "Whether the events were taken is unknown"
	for _, c := range []struct {
		err     error
		code    problem.Code
		after   time.Duration
		unknown bool // for who publishes: what became of the events
	}{
		{context.Canceled, problem.Unavailable, time.Second, true},
		{context.DeadlineExceeded, problem.Unavailable, time.Second, true},
		{queue.ErrBusy, problem.Unavailable, time.Second, false},
		{queue.ErrClosed, problem.Unavailable, time.Second, false},
		{queue.ErrUnavailable, problem.Unavailable, 5 * time.Second, true},
		{queue.ErrFull, problem.DiskFull, 30 * time.Second, false},
	} {
		err := fmt.Errorf("commit: %w", c.err)
		managing, publishing := problem.From(refusal(err, noWebhook())), problem.From(publishRefusal(err))
		for _, e := range []*problem.Error{managing, publishing} {
			if e.Code != c.code || e.RetryAfter != c.after || e.Detail == "" {
				t.Errorf("%v is told as %+v, want %s after %v", err, e, c.code, c.after)
			}
		}
		if strings.Contains(managing.Detail, "events") || strings.Contains(publishing.Detail, unknown) != c.unknown {
			t.Errorf("%v is told as\n%s\n%s", err, managing.Detail, publishing.Detail)
		}
		if managing.Detail == publishing.Detail {
			t.Errorf("%v is told to all alike: %s", err, managing.Detail)
		}
	}
	for _, err := range []error{queue.ErrNotFound, queue.ErrCorrupt} {
		if e := problem.From(refusal(fmt.Errorf("read: %w", err), noReplay())); e.Detail != noReplay().Detail {
			t.Errorf("%v is told as %+v", err, e)
		}
	}
	if e := problem.From(refusal(queue.ErrCursor, noWebhook())); e.Items[0].Parameter != "cursor" {
		t.Errorf("a cursor is told as %+v", e)
	}
	other := errors.New("other")
	if !errors.Is(refusal(other, noWebhook()), other) || !errors.Is(publishRefusal(other), other) {
		t.Error("another error does not stay as it is")
	}
}
