package dispatch_test

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// memStore keeps what the Dispatcher uses of the contract of queue.Store, in
// memory. It calls its watcher with its own lock held, as a store may.
type memStore struct {
	mu         sync.Mutex
	watcher    func(string, time.Time)
	hooks      map[string]*hook
	deliveries map[string]*stored
	tokens     uint64
	claims     int       // calls of Claim
	clock      time.Time // the latest time that one told

	// fail, when set, is asked before each call; its error is returned.
	fail func(call string) error
}

type hook struct {
	queues  [2]dueHeap // first attempts, retries
	turn    int
	told    time.Time // zero: nothing
	claimed map[string]*stored
}

type stored struct {
	webhook.Delivery
	event    *webhook.Event
	attempts []webhook.Attempt
	claim    *queue.Claim
	seq      int
}

func newMemStore() *memStore {
	return &memStore{hooks: map[string]*hook{}, deliveries: map[string]*stored{}}
}

func (s *memStore) check(call string) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(call)
}

func (s *memStore) failWith(fail func(call string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *memStore) hook(id string) *hook {
	h := s.hooks[id]
	if h == nil {
		h = &hook{claimed: map[string]*stored{}}
		s.hooks[id] = h
	}
	return h
}

// publish stores one event for a webhook and returns the id of its delivery.
func (s *memStore) publish(webhookID string, ev *webhook.Event, due time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("dlv_%d", len(s.deliveries)+1)
	d := &stored{
		Delivery: webhook.Delivery{
			ID: id, WebhookID: webhookID, EventID: ev.ID, EventType: ev.Type, ProjectID: ev.ProjectID,
			Status: webhook.Pending, NextAttemptAt: due, CreatedAt: ev.ReceivedAt,
		},
		event: ev,
		seq:   len(s.deliveries),
	}
	s.deliveries[id] = d
	s.enqueue(d)
	return id
}

func (s *memStore) enqueue(d *stored) {
	h := s.hook(d.WebhookID)
	heap.Push(&h.queues[min(d.Attempts, 1)], d)
	if h.told.IsZero() || d.NextAttemptAt.Before(h.told) {
		h.told = d.NextAttemptAt
		if s.watcher != nil {
			s.watcher(d.WebhookID, h.told)
		}
	}
}

func (s *memStore) Watch(fn func(string, time.Time)) error {
	if err := s.check("watch"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = fn
	if fn != nil {
		for id, h := range s.hooks {
			if h.told = h.next(); !h.told.IsZero() {
				fn(id, h.told)
			}
		}
	}
	return nil
}

func (s *memStore) Claim(_ context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	if err := s.check("claim"); err != nil {
		return nil, time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	if r.Now.After(s.clock) {
		s.clock = r.Now
	}
	h := s.hook(r.WebhookID)
	for id, d := range h.claimed { // claims that have run out
		if !r.Now.Before(d.claim.Until) {
			d.claim = nil
			delete(h.claimed, id)
			heap.Push(&h.queues[min(d.Attempts, 1)], d)
		}
	}
	due := r.Now
	if r.Due.After(due) {
		due = r.Due
	}
	var out []queue.Claimed
	for len(out) < r.Max {
		q := &h.queues[h.turn]
		if !q.due(due) {
			h.turn = 1 - h.turn
			if q = &h.queues[h.turn]; !q.due(due) {
				break
			}
		}
		h.turn = 1 - h.turn
		d := heap.Pop(q).(*stored)
		s.tokens++
		d.claim = &queue.Claim{DeliveryID: d.ID, WebhookID: d.WebhookID, Owner: r.Owner, Token: s.tokens, Until: r.Until}
		h.claimed[d.ID] = d
		out = append(out, queue.Claimed{Claim: *d.claim, Delivery: d.Delivery, Event: d.event})
	}
	h.told = h.next()
	return out, h.told, nil
}

func (s *memStore) take(c queue.Claim) (*stored, error) {
	d := s.deliveries[c.DeliveryID]
	if d == nil || d.claim == nil || d.claim.Token != c.Token {
		return nil, queue.ErrClaimLost
	}
	d.claim = nil
	delete(s.hook(c.WebhookID).claimed, d.ID)
	return d, nil
}

func (s *memStore) Finish(_ context.Context, c queue.Claim, r queue.Result) error {
	if err := s.check("finish"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.take(c)
	if err != nil {
		return err
	}
	if r.Attempt != nil {
		if r.Attempt.Number != d.Attempts+1 {
			return fmt.Errorf("attempt %d of %s follows %d", r.Attempt.Number, d.ID, d.Attempts)
		}
		d.Attempts++
		d.attempts = append(d.attempts, *r.Attempt)
	}
	d.Status, d.Reason, d.Step, d.NextAttemptAt = r.Status, r.Reason, r.Step, r.NextAttemptAt
	if d.Status == webhook.Pending {
		s.enqueue(d)
	}
	return nil
}

func (s *memStore) Release(_ context.Context, c queue.Claim, due time.Time) error {
	if err := s.check("release"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.take(c)
	if err != nil {
		return err
	}
	if d.Status == webhook.Pending {
		d.NextAttemptAt = due
		s.enqueue(d)
	}
	return nil
}

func (s *memStore) Backlog(webhookID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hook(webhookID)
	return len(h.queues[0]) + len(h.queues[1]) + len(h.claimed)
}

// steal ends the claim of a delivery, as another process would that took it
// for expired.
func (s *memStore) steal(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[id]
	d.claim = nil
	delete(s.hook(d.WebhookID).claimed, id)
	s.enqueue(d)
}

// delivery returns a copy of a delivery with its attempts.
func (s *memStore) delivery(id string) (webhook.Delivery, []webhook.Attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[id]
	return d.Delivery, slices.Clone(d.attempts)
}

// count returns how many deliveries of a webhook have a status; of all webhooks
// for an empty id.
func (s *memStore) count(webhookID string, status webhook.Status) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, d := range s.deliveries {
		if d.Status == status && (webhookID == "" || d.WebhookID == webhookID) {
			n++
		}
	}
	return n
}

// claimedNow returns how many deliveries are claimed.
func (s *memStore) claimedNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, h := range s.hooks {
		n += len(h.claimed)
	}
	return n
}

func (h *hook) next() time.Time {
	var next time.Time
	for _, q := range h.queues {
		if len(q) > 0 && (next.IsZero() || q[0].NextAttemptAt.Before(next)) {
			next = q[0].NextAttemptAt
		}
	}
	return next
}

type dueHeap []*stored

func (h dueHeap) due(now time.Time) bool { return len(h) > 0 && !h[0].NextAttemptAt.After(now) }
func (h dueHeap) Len() int               { return len(h) }
func (h dueHeap) Swap(i, j int)          { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)            { *h = append(*h, x.(*stored)) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].NextAttemptAt.Equal(h[j].NextAttemptAt) {
		return h[i].seq < h[j].seq
	}
	return h[i].NextAttemptAt.Before(h[j].NextAttemptAt)
}

func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	*h = old[:len(old)-1]
	return d
}

func (h *dueHeap) remove(i int) { heap.Remove(h, i) }
