package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Whatever happens, whatever is pending has something that wakes it, and in the end
// everything ends.
func TestNothingPendingIsForgotten(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newStress(t, seed).run() })
		})
	}
}

const (
	stressHooks    = 24
	stressProjects = 4
)

// stress is a world in which anything can happen.
type stress struct {
	*world
	rng        *rand.Rand
	transports []*fakeTransport
	failing    map[string]*atomic.Bool // calls of the store
	slow       atomic.Bool             // all of them
	claiming   atomic.Int32            // calls of Claim
	log        []string                // what happened
}

func newStress(t *testing.T, seed uint64) *stress {
	s := &stress{world: newWorld(t), rng: rand.New(rand.NewPCG(seed, 2)), failing: map[string]*atomic.Bool{}}
	for _, call := range storeCalls {
		s.failing[call] = &atomic.Bool{}
	}
	s.d.SetWorkers(s.workers())
	s.store.failWith(func(call string) error {
		if call == "claim" {
			s.claiming.Add(1)
			defer s.claiming.Add(-1)
		}
		if s.slow.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		if f := s.failing[call]; f != nil && f.Load() {
			return errors.New("the store is out of sorts")
		}
		return nil
	})
	for i := range stressHooks {
		s.add(fmt.Sprintf("wh_%d", i))
	}
	s.start()
	return s
}

var storeCalls = []string{"claim", "finish", "release"}

func (s *stress) mend() {
	for _, f := range s.failing {
		f.Store(false)
	}
}

func (s *stress) workers() int { return []int{1, 5, 64, 70, 256}[s.rng.IntN(5)] }
func (s *stress) hook() string { return fmt.Sprintf("wh_%d", s.rng.IntN(stressHooks)) }

func (s *stress) project() string { return fmt.Sprintf("proj_%d", s.rng.IntN(stressProjects)) }

// add makes a webhook with a receiver that has a character of its own.
func (s *stress) add(id string) {
	takes := time.Duration(s.rng.IntN(8000)) * time.Millisecond
	kind, seed := s.rng.IntN(5), s.rng.Uint64()
	answers := func(req *http.Request) (*http.Response, error) {
		// What it does depends on the delivery only: attempts run side by side.
		var n uint64
		for _, c := range req.Header.Get("x-tengine-delivery") + req.Header.Get("x-tengine-attempt") {
			n = n*31 + uint64(c) + seed
		}
		code := []int{200, 500, 503, 429}[n%4]
		switch {
		case kind == 0:
			code = 200
		case n%17 == 0:
			return nil, gatewayFault
		case n%31 == 0:
			panic("a receiver that nobody thought of")
		case kind == 1 && n%11 == 0:
			return hang(req)
		case kind == 2 && n%47 == 0:
			code = 410
		}
		return after(takes, code)(req)
	}
	s.transports = append(s.transports, s.hooks.add(id, s.project(), answers))
	s.limit(id)
}

func (s *stress) limit(id string) {
	s.hooks.change(id, func(sub *webhook.Subscription) {
		sub.Concurrency = 1 + s.rng.IntN(100)
		sub.Timeout = time.Duration(1+s.rng.IntN(30)) * time.Second
		sub.Rate = []webhook.Rate{{}, {}, {N: 1, Per: time.Minute}, {N: 20, Per: time.Second}}[s.rng.IntN(4)]
		sub.Retry = [][]time.Duration{nil, {}, {time.Second, 10 * time.Second}}[s.rng.IntN(3)]
	})
}

func (s *stress) run() {
	defer func() { s.stop() }()
	for step := range 400 {
		s.act()
		if s.rng.IntN(3) > 0 {
			time.Sleep(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
		}
		synctest.Wait()
		s.check(step)
	}
	s.finish()
}

func (s *stress) act() {
	id := s.hook()
	note := func(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }
	switch s.rng.IntN(24) {
	case 0, 1, 2:
		state := []dispatch.State{dispatch.Active, dispatch.Active, dispatch.Held, dispatch.Parked, dispatch.Disabled}[s.rng.IntN(5)]
		note("%s is %d", id, state)
		s.set(id, state)
		s.d.Refresh(id)
	case 3:
		note("%s moves", id)
		s.hooks.move(id, s.project())
		if s.rng.IntN(2) == 0 {
			s.d.Refresh(id)
		}
	case 4:
		note("%s is limited", id)
		s.limit(id)
		s.d.RefreshAll()
	case 5, 6:
		n := s.workers()
		note("%d workers", n)
		s.d.SetWorkers(n)
	case 7, 8:
		call := storeCalls[s.rng.IntN(len(storeCalls))]
		fails := s.rng.IntN(2) == 0
		s.failing[call].Store(fails)
		note("%s fails: %t", call, fails)
	case 9:
		s.mend()
		s.slow.Store(s.rng.IntN(2) == 0)
	case 10:
		jump := time.Duration(s.rng.IntN(7200)-3600) * time.Second
		note("clock %v", jump)
		s.wall.jump(jump)
		time.Sleep(2 * time.Second) // until it is noticed
	case 11:
		note("restart")
		s.restart()
	case 12:
		note("%s is deleted", id)
		s.delete(id)
	case 13, 14, 15:
		s.byHand()
	case 16:
		time.Sleep(time.Duration(s.rng.IntN(600)) * time.Second)
	case 17:
		note("%s has a backlog", id)
		s.publish(id, 300)
	default:
		s.publish(id, 1+s.rng.IntN(20))
	}
}

// set leaves out webhooks that were deleted.
func (s *stress) set(id string, state dispatch.State) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	if th := s.hooks.m[id]; th != nil {
		th.state = state
	}
}

func (s *stress) delete(id string) {
	s.hooks.mu.Lock()
	tr := s.hooks.m[id].transport
	delete(s.hooks.m, id)
	s.hooks.mu.Unlock()
	s.d.Forget(context.Background(), id)
	tr.mu.Lock()
	n := len(tr.inflight)
	tr.mu.Unlock()
	if n != 0 {
		s.t.Errorf("%d attempts are under way after Forget", n)
	}
	s.add(id)
	s.d.Refresh(id)
}

func (s *stress) restart() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.d.Stop(ctx)
	s.store.reopen()
	s.opts.Workers = s.workers()
	s.d = dispatch.New(s.opts)
	s.start()
}

// byHand attempts a delivery that is not claimed.
func (s *stress) byHand() {
	s.store.mu.Lock()
	n := len(s.store.deliveries)
	s.store.mu.Unlock()
	if n == 0 {
		return
	}
	id := fmt.Sprintf("dlv_%d", 1+s.rng.IntN(n))
	s.store.mu.Lock()
	d := s.store.deliveries[id]
	free, now := d.claim == nil, s.store.clock
	s.store.mu.Unlock()
	if !free {
		return
	}
	if wall := s.wall.now(); wall.After(now) {
		now = wall
	}
	c := s.store.claimOne(id, now.Add(dispatch.OnceClaim))
	if err := s.d.Once(c, webhook.Manually, func(bool) {}); err != nil {
		s.store.giveBack(c)
	}
}

func (s *stress) check(step int) {
	faults := s.d.Unwoken(int(s.claiming.Load()))
	s.store.mu.Lock()
	for id, h := range s.store.hooks {
		if next := h.next(); !s.d.Knows(id, next, len(h.claimed)) {
			faults = append(faults, fmt.Sprintf("%s is due at %v with %d claimed, and the Dispatcher does not know", id, next, len(h.claimed)))
		}
	}
	s.store.mu.Unlock()
	if len(faults) > 0 {
		s.t.Fatalf("step %d, after %q: %q", step, s.log[max(0, len(s.log)-10):], faults)
	}
}

func (s *stress) finish() {
	s.mend()
	s.slow.Store(false)
	s.d.SetWorkers(256)
	for i := range stressHooks {
		id := fmt.Sprintf("wh_%d", i)
		s.hooks.add(id, "proj_1", after(10*time.Millisecond, 200))
	}
	s.d.RefreshAll()
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	s.check(-1)
	s.wantCount("", webhook.Pending, 0)
	if n := s.d.InFlight(); n != 0 {
		s.t.Errorf("%d workers are busy", n)
	}
	if lanes, projects := s.d.Remembered(); lanes != 0 || projects != 0 {
		s.t.Errorf("%d lanes and %d projects are remembered", lanes, projects)
	}
	for _, tr := range s.transports {
		if tr.overlaps > 0 {
			s.t.Errorf("%d attempts of deliveries that had one in flight", tr.overlaps)
		}
	}
}

// reopen ends all claims, as a restart does.
func (s *memStore) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hooks {
		for id, d := range h.claimed {
			d.claim = nil
			delete(h.claimed, id)
			s.enqueue(d)
		}
	}
}

// giveBack ends a claim of claimOne.
func (s *memStore) giveBack(c queue.Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, err := s.take(c.Claim); err == nil && d.Status == webhook.Pending {
		s.enqueue(d)
	}
}
