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
	return problem.New(problem.NotFound, "There is no project with this id.")
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
	case errors.Is(err, queue.ErrFull):
		e := problem.New(problem.DiskFull, "The gateway's disk is nearly full: it changes nothing until there is room again.")
		e.RetryAfter = 30 * time.Second
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("The request ended too soon. Send it again.")
	case errors.Is(err, queue.ErrBusy):
		return unavailable("The gateway's store is busy. Send the request again.")
	case errors.Is(err, queue.ErrClosed):
		return stopping()
	case errors.Is(err, queue.ErrUnavailable):
		e := unavailable("The gateway's store has failed. Send the request again.")
		e.RetryAfter = 5 * time.Second
		return e
	default:
		return err
	}
}

// unavailable is a 503 that asks the client to come back in a second.
func unavailable(detail string) *problem.Error {
	e := problem.New(problem.Unavailable, detail)
	e.RetryAfter = time.Second
	return e
}

// stoppingIntake is stopping for requests that bring events.
func stoppingIntake() *problem.Error {
	return unavailable("The gateway is stopping. Send the request again with the same ids.")
}

func stopping() *problem.Error {
	return unavailable("The gateway is stopping. Send the request again.")
}

// publishRefusal is refusal for a client that publishes: it has to know whether
// its events were taken.
func publishRefusal(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("The request ended too soon. Whether the events were taken is unknown: send it again with the same ids.")
	case errors.Is(err, queue.ErrFull):
		e := problem.New(problem.DiskFull, "The gateway's disk is nearly full: it takes no events until there is room again.")
		e.RetryAfter = 30 * time.Second
		return e
	case errors.Is(err, queue.ErrBusy):
		return unavailable("More events come than the gateway's disk can take. Send the request again.")
	case errors.Is(err, queue.ErrClosed):
		return stoppingIntake()
	case errors.Is(err, queue.ErrUnavailable):
		e := unavailable("The gateway's store has failed. Whether the events were taken is unknown: send the request again with the same ids.")
		e.RetryAfter = 5 * time.Second
		return e
	default:
		return err
	}
}
