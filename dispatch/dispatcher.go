package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// Store is the part of queue.Store that the Dispatcher uses.
type Store interface {
	Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error)
	Finish(ctx context.Context, c queue.Claim, r queue.Result) error
	Release(ctx context.Context, c queue.Claim, due time.Time) error
	Backlog(webhookID string) int
	Watch(fn func(webhookID string, due time.Time)) error
}

// Options is what a Dispatcher is made of.
type Options struct {
	// Store, Receivers and Sender are required.
	Store     Store
	Receivers Receivers
	Sender    *Sender

	// Owner names this process in claims.
	Owner string

	// Workers is how many attempts may be in flight. Defaults to 256.
	Workers int

	// MaxAge is how old an event can get before its pending deliveries end as
	// Failed, by an AgeClock. A replayed delivery's age counts from the replay.
	// Defaults to 30 days (contract section 3, Backlog).
	MaxAge time.Duration

	// Logger and Observer default to none.
	Logger   *zap.Logger
	Observer Observer

	// Clock is the wall clock. Defaults to time.Now.
	Clock func() time.Time
}

const (
	defaultWorkers = 256
	defaultMaxAge  = 30 * 24 * time.Hour
)

// Errors of Start. Test with errors.Is.
var (
	ErrStarted = errors.New("dispatcher was started already")
	ErrStopped = errors.New("dispatcher was stopped")
)

// Dispatcher takes due deliveries from the store and has them sent, retried and
// settled. There is one for a store. Its methods are safe for concurrent use.
type Dispatcher struct {
	store     Store
	receivers Receivers
	sender    *Sender
	owner     string
	maxAge    time.Duration
	log       *zap.Logger
	observer  Observer
	clock     *clock
	ages      *AgeClock

	ctx     context.Context // ends when attempts in flight are to be cut short
	cancel  context.CancelCauseFunc
	life    sync.Mutex // serialises Start and the first Stop
	started bool       // by life
	stopped bool       // by life
	closed  atomic.Bool
	rearmed chan struct{} // tells the timekeeper that a lane rings earlier
	done    chan struct{} // closed when the timekeeper and all workers have ended
	running sync.WaitGroup

	mu       sync.Mutex
	lanes    map[string]*lane // by webhook id
	projects map[string]*project
	spare    attemptContexts
	ring     ring
	alarm    alarm
	ringsAt  time.Time // when the timekeeper wakes; zero: not by itself
	workers  int       // limit of busy
	busy     int       // worker tokens that are taken
	byHand   byHand
	seeking  int      // workers that were started and have not yet looked for a turn
	resting  []worker // without a token
	halted   bool     // not started, stopped, or something failed for good: nothing is claimed
	err      error    // why it was halted, if nobody stopped it
}

// New returns a Dispatcher that has not started.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		store:     o.Store,
		receivers: o.Receivers,
		sender:    o.Sender,
		owner:     o.Owner,
		maxAge:    cmp.Or(o.MaxAge, defaultMaxAge),
		log:       o.Logger,
		observer:  o.Observer,
		rearmed:   make(chan struct{}, 1),
		done:      make(chan struct{}),
		lanes:     make(map[string]*lane),
		projects:  make(map[string]*project),
		workers:   cmp.Or(o.Workers, defaultWorkers),
		halted:    true,
	}
	if d.log == nil {
		d.log = zap.NewNop()
	}
	if d.observer == nil {
		d.observer = nobody{}
	}
	d.clock, d.ages = newClock(o.Clock), NewAgeClock(o.Clock)
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	return d
}

// Start begins to send what is due. All webhooks must be known to Receivers by
// now. A Dispatcher starts once: again it is ErrStarted, after Stop ErrStopped.
// If the store refuses, its error is returned and Start may be repeated.
func (d *Dispatcher) Start() error {
	d.life.Lock()
	defer d.life.Unlock()
	switch {
	case d.stopped:
		return ErrStopped
	case d.started:
		return ErrStarted
	}
	if err := d.store.Watch(d.notice); err != nil {
		return fmt.Errorf("start dispatcher: watch store: %w", err)
	}
	d.started = true
	d.running.Add(1)
	go d.keepTime()

	d.mu.Lock()
	defer d.mu.Unlock()
	d.halted = false
	d.staff()
	return nil
}

// Stop ends the Dispatcher. It stops claiming at once and waits for attempts in
// flight; when ctx ends first they are cut short, which uses up no attempt. It
// returns when every outcome is committed: nil if nothing was cut short, else
// the cause of ctx.
//
// Stop during Start waits for Start first. Stop before Start only rules out a
// later Start. Every further Stop waits for the same end, with a ctx of its own.
func (d *Dispatcher) Stop(ctx context.Context) error {
	d.life.Lock()
	first := !d.stopped
	d.stopped = true
	started := d.started
	if first {
		d.close(started)
	}
	d.life.Unlock()

	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
	}
	d.cancel(errStopping)
	<-d.done
	return fmt.Errorf("stop dispatcher: attempts were cut short: %w", context.Cause(ctx))
}

// errStopping is why attempts are cut short.
var errStopping = errors.New("the gateway is stopping")

func (d *Dispatcher) close(started bool) {
	d.closed.Store(true)
	d.mu.Lock()
	d.halted = true
	for _, w := range d.resting {
		close(w)
	}
	d.resting = nil
	d.mu.Unlock()
	if !started {
		d.cancel(errStopping)
		close(d.done)
		return
	}
	if err := d.store.Watch(nil); err != nil && !errors.Is(err, queue.ErrClosed) {
		d.log.Warn("could not end watching the store", zap.Error(err))
	}
	d.rearm()
	go func() { // ends with the last worker
		d.running.Wait()
		d.cancel(errStopping)
		close(d.done)
	}()
}

// SetWorkers changes how many attempts may be in flight. Fewer than are in
// flight: those end in peace. Less than 1 is 1.
func (d *Dispatcher) SetWorkers(n int) {
	defer d.guard("a change of workers")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.workers = max(1, n)
	for d.ring.aside.len() > 0 { // shares are others now
		d.ring.bringBack(nil)
	}
	d.staff()
}

// Refresh makes the Dispatcher look at a webhook that has changed. Attempts
// resolve their receiver anyway; it is needed where none would be made: the
// webhook was resumed or disabled, or its limits have changed. For one that was
// deleted see Forget.
func (d *Dispatcher) Refresh(webhookID string) {
	defer d.guard("a refresh")
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lanes[webhookID]; l != nil {
		d.refresh(l, now)
	}
	d.staff()
}

// RefreshAll is Refresh for every webhook: the settings have changed.
func (d *Dispatcher) RefreshAll() {
	defer d.guard("a refresh")
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.lanes {
		d.refresh(l, now)
	}
	d.staff()
}

func (d *Dispatcher) refresh(l *lane, now time.Time) {
	l.look, l.changed = true, true
	l.pausedUntil = time.Time{}
	l.breaker.probeAt = time.Time{} // what was changed may help
	d.arrange(l, now)
}

// InFlight returns how many workers are busy.
func (d *Dispatcher) InFlight() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy
}
