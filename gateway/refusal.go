package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
)

func noWebhook() *problem.Error {
	return problem.New(problem.NotFound, "There is no webhook with this id.")
}

func noProject() *problem.Error {
	return problem.New(problem.NotFound, "There is no such project, or it is not yours.")
}

func noDelivery() *problem.Error {
	return problem.New(problem.NotFound, "There is no delivery with this id.")
}

func noEvent() *problem.Error {
	return problem.New(problem.NotFound, "There is no event with this id.")
}

func noKey() *problem.Error {
	return problem.New(problem.NotFound, "There is no API key of this name.")
}

func noReplay() *problem.Error {
	return problem.New(problem.NotFound, "There is no replay with this id.")
}

func conflict(detail string) *problem.Error { return problem.New(problem.Conflict, detail) }

func badParameter(name, detail string) *problem.Error {
	return problem.New(problem.Invalid, "A parameter breaks a rule.",
		problem.Item{Code: problem.InvalidValue, Parameter: name, Detail: detail})
}

// itemsOf returns what an error says is wrong with a request, if it breaks rules.
func itemsOf(err error) []problem.Item {
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Code == problem.Invalid {
		return e.Items
	}
	return nil
}

const (
	endedText       = "The request ended too soon. Send it again."
	endedIntakeText = "The request ended too soon. Whether the events were taken is unknown: send it again with the same ids."

	stoppingText       = "The gateway is stopping. Send the request again."
	stoppingIntakeText = "The gateway is stopping. Send the request again with the same ids."
)

// storeRefusals says what an error of the store means for a client that manages, and
// for one that publishes: that has to know whether its events were taken. The first
// error that fits counts.
var storeRefusals = []struct {
	err        error
	code       problem.Code
	after      time.Duration
	managing   string
	publishing string
}{
	{queue.ErrFull, problem.DiskFull, 30 * time.Second,
		"The gateway's disk is nearly full: it changes nothing until there is room again.",
		"The gateway's disk is nearly full: it takes no events until there is room again."},
	{context.Canceled, problem.Unavailable, time.Second, endedText, endedIntakeText},
	{context.DeadlineExceeded, problem.Unavailable, time.Second, endedText, endedIntakeText},
	{queue.ErrBusy, problem.Unavailable, time.Second,
		"The gateway's store is busy. Send the request again.",
		"More events come than the gateway's disk can take. Send the request again."},
	{queue.ErrClosed, problem.Unavailable, time.Second, stoppingText, stoppingIntakeText},
	{queue.ErrUnavailable, problem.Unavailable, 5 * time.Second,
		"The gateway's store has failed. Send the request again.",
		"The gateway's store has failed. Whether the events were taken is unknown: send the request again with the same ids."},
}

// refusal tells a client of the management API what a store's error means for
// its request. missing is what to say of a thing that is not there; something
// whose project cannot be read is not there either, for who may see it is
// unknown.
func refusal(err error, missing *problem.Error) error {
	switch {
	case errors.Is(err, queue.ErrNotFound), errors.Is(err, queue.ErrCorrupt):
		return missing
	case errors.Is(err, queue.ErrCursor):
		return BadCursor()
	}
	for _, r := range storeRefusals {
		if errors.Is(err, r.err) {
			return problem.Later(r.code, r.managing, r.after)
		}
	}
	return err
}

// publishRefusal is refusal for a client that publishes.
func publishRefusal(err error) error {
	for _, r := range storeRefusals {
		if errors.Is(err, r.err) {
			return problem.Later(r.code, r.publishing, r.after)
		}
	}
	return err
}

// unavailable is a 503 that asks the client to come back in a second.
func unavailable(detail string) *problem.Error {
	return problem.Later(problem.Unavailable, detail, time.Second)
}

func stopping() *problem.Error { return unavailable(stoppingText) }

// stoppingIntake is stopping for requests that bring events.
func stoppingIntake() *problem.Error { return unavailable(stoppingIntakeText) }
