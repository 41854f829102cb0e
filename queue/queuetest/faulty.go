package queuetest

import (
	"context"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// A Fault says what goes wrong in a call of a store.
type Fault struct {
	// Before is called first, if it is not nil; it can delay the call.
	Before func()

	// Err, if it is not nil, is what the call returns.
	Err error

	// Done says that the call takes effect although it returns Err, as after a
	// commit whose outcome is unknown. Otherwise it does nothing.
	Done bool
}

// A FaultyStore is a store whose calls can be made to fail. It is safe for
// concurrent use if the store in it is.
type FaultyStore struct {
	queue.Store

	mu     sync.Mutex
	inject func(method string) Fault
}

// Faulty wraps a store. It behaves as the store does until Inject is called.
func Faulty(s queue.Store) *FaultyStore { return &FaultyStore{Store: s} }

// Inject makes f decide for each coming call, by the name of the method, what
// goes wrong with it; nil ends all faults. Backlog, Stats, Watch and Close
// have none.
func (s *FaultyStore) Inject(f func(method string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inject = f
}

// fault returns what goes wrong with a call, after its delay.
func (s *FaultyStore) fault(method string) Fault {
	s.mu.Lock()
	inject := s.inject
	s.mu.Unlock()
	if inject == nil {
		return Fault{}
	}
	f := inject(method)
	if f.Before != nil {
		f.Before()
	}
	return f
}

// call makes a call with its fault.
func call[T any](s *FaultyStore, method string, do func() (T, error)) (T, error) {
	f := s.fault(method)
	var zero T
	if f.Err != nil && !f.Done {
		return zero, f.Err
	}
	v, err := do()
	if f.Err != nil {
		return zero, f.Err
	}
	return v, err
}

// act is call for methods that return an error only.
func act(s *FaultyStore, method string, do func() error) error {
	_, err := call(s, method, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// Publish implements queue.Store.
func (s *FaultyStore) Publish(ctx context.Context, pubs []queue.Publication) ([]queue.Receipt, error) {
	return call(s, "Publish", func() ([]queue.Receipt, error) { return s.Store.Publish(ctx, pubs) })
}

// Claim implements queue.Store.
func (s *FaultyStore) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	var next time.Time
	cs, err := call(s, "Claim", func() (cs []queue.Claimed, err error) {
		cs, next, err = s.Store.Claim(ctx, r)
		return cs, err
	})
	return cs, next, err
}

// ClaimOne implements queue.Store.
func (s *FaultyStore) ClaimOne(ctx context.Context, deliveryID, owner string, now, until time.Time) (queue.Claimed, error) {
	return call(s, "ClaimOne", func() (queue.Claimed, error) { return s.Store.ClaimOne(ctx, deliveryID, owner, now, until) })
}

// Finish implements queue.Store.
func (s *FaultyStore) Finish(ctx context.Context, c queue.Claim, r queue.Result) error {
	return act(s, "Finish", func() error { return s.Store.Finish(ctx, c, r) })
}

// Release implements queue.Store.
func (s *FaultyStore) Release(ctx context.Context, c queue.Claim, due time.Time) error {
	return act(s, "Release", func() error { return s.Store.Release(ctx, c, due) })
}

// Context implements queue.Store.
func (s *FaultyStore) Context(ctx context.Context, projectID string) ([]byte, error) {
	return call(s, "Context", func() ([]byte, error) { return s.Store.Context(ctx, projectID) })
}

// Event implements queue.Store.
func (s *FaultyStore) Event(ctx context.Context, projectID, eventID string) (webhook.Event, error) {
	return call(s, "Event", func() (webhook.Event, error) { return s.Store.Event(ctx, projectID, eventID) })
}

// Events implements queue.Store.
func (s *FaultyStore) Events(ctx context.Context, q queue.EventQuery) (queue.EventPage, error) {
	return call(s, "Events", func() (queue.EventPage, error) { return s.Store.Events(ctx, q) })
}

// EventWebhooks implements queue.Store.
func (s *FaultyStore) EventWebhooks(ctx context.Context, projectID, eventID, after string, limit int) ([]string, error) {
	return call(s, "EventWebhooks", func() ([]string, error) {
		return s.Store.EventWebhooks(ctx, projectID, eventID, after, limit)
	})
}

// Delivery implements queue.Store.
func (s *FaultyStore) Delivery(ctx context.Context, deliveryID string) (webhook.Delivery, webhook.Event, error) {
	var ev webhook.Event
	d, err := call(s, "Delivery", func() (d webhook.Delivery, err error) {
		d, ev, err = s.Store.Delivery(ctx, deliveryID)
		return d, err
	})
	return d, ev, err
}

// Attempts implements queue.Store.
func (s *FaultyStore) Attempts(ctx context.Context, deliveryID string) ([]webhook.Attempt, error) {
	return call(s, "Attempts", func() ([]webhook.Attempt, error) { return s.Store.Attempts(ctx, deliveryID) })
}

// Deliveries implements queue.Store.
func (s *FaultyStore) Deliveries(ctx context.Context, q queue.DeliveryQuery) (queue.DeliveryPage, error) {
	return call(s, "Deliveries", func() (queue.DeliveryPage, error) { return s.Store.Deliveries(ctx, q) })
}

// Retire implements queue.Store.
func (s *FaultyStore) Retire(ctx context.Context, before time.Time, limit int) (int, bool, error) {
	var more bool
	n, err := call(s, "Retire", func() (n int, err error) {
		n, more, err = s.Store.Retire(ctx, before, limit)
		return n, err
	})
	return n, more, err
}

// PutRecord implements queue.Store.
func (s *FaultyStore) PutRecord(ctx context.Context, rec queue.Record) (uint64, error) {
	return call(s, "PutRecord", func() (uint64, error) { return s.Store.PutRecord(ctx, rec) })
}

// Record implements queue.Store.
func (s *FaultyStore) Record(ctx context.Context, kind queue.RecordKind, id string) (queue.Record, error) {
	return call(s, "Record", func() (queue.Record, error) { return s.Store.Record(ctx, kind, id) })
}

// Records implements queue.Store.
func (s *FaultyStore) Records(ctx context.Context, kind queue.RecordKind, projectID, cursor string, limit int) (queue.RecordPage, error) {
	return call(s, "Records", func() (queue.RecordPage, error) { return s.Store.Records(ctx, kind, projectID, cursor, limit) })
}

// DeleteRecord implements queue.Store.
func (s *FaultyStore) DeleteRecord(ctx context.Context, kind queue.RecordKind, id string) error {
	return act(s, "DeleteRecord", func() error { return s.Store.DeleteRecord(ctx, kind, id) })
}

// EventProjects implements queue.Store.
func (s *FaultyStore) EventProjects(ctx context.Context, eventID string, limit int) ([]string, error) {
	return call(s, "EventProjects", func() ([]string, error) { return s.Store.EventProjects(ctx, eventID, limit) })
}
