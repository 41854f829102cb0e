package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Options are what a Gateway needs for its whole life. Store, Owner and Logger
// are required.
type Options struct {
	Store    queue.Store // the gateway closes it
	Owner    string      // names this process in claims
	Logger   *zap.Logger
	Observer Observer         // nil: none
	Clock    func() time.Time // nil: time.Now

	// KeyFile is where a key that seals secrets is generated and kept while
	// Settings.SecretsKey is empty. Empty: then nothing can be sealed, and no
	// webhook created.
	KeyFile string

	// Announce, if not nil, is called with each operational event, by one
	// goroutine. It must be quick.
	Announce func(Announcement)
}

// Observer is told what happens, for metrics. Its methods are called on the
// hot path from many goroutines: they must be quick and must not call back.
type Observer interface {
	dispatch.Observer

	// EventPublished is told the result of each event of a Publish.
	EventPublished(Result)

	// FilterFailed is told of each filter that failed on an event.
	FilterFailed()
}

// nobody is the Observer of those who want none.
type nobody struct{}

func (nobody) Settled(dispatch.Report)          {}
func (nobody) Gone(*webhook.Subscription)       {}
func (nobody) NotMade(string, *webhook.Attempt) {}
func (nobody) ClaimLost(string)                 {}
func (nobody) Tripped(string, bool)             {}
func (nobody) EventPublished(Result)            {}
func (nobody) FilterFailed()                    {}

// Result is what became of a published event. It is also a metric label.
type Result string

const (
	Accepted  Result = "accepted"
	Duplicate Result = "duplicate"
	Rejected  Result = "rejected"
)

// Results lists every Result.
var Results = []Result{Accepted, Duplicate, Rejected}

// Gateway takes events and delivers them. Its methods are safe for concurrent
// use.
type Gateway struct {
	store      queue.Store
	log        *zap.Logger
	observer   Observer
	now        func() time.Time
	owner      string
	dispatcher *dispatch.Dispatcher
	sender     *dispatch.Sender
	janitor    janitor
	tests      testSends
	replays    replays
	health     healthCache
	backingUp  sync.Mutex // held while a backup is written

	// current is the generation in force; nil before the first Apply.
	current atomic.Pointer[Generation]
	closing atomic.Bool

	webhooks *registry // as the store has them, once loaded
	loaded   bool
	locks    keyedLocks // of webhooks
	owing    keyedLocks // of deliveries that are owed a retry
	vault    vault
	keyFile  string
	marker   []byte // of this process; see staticVersion

	filterErrors budgets
	filterTimes  filter.ProjectTimes
	triedTimes   filter.ProjectTimes // of filters that somebody looks at; events need not wait for them
	keys         *createdKeys
	authLimit    *authLimit
	sessions     sessions
	links        links
	activity     *activity
	failing      *failing
	operations   *operations
	announce     func(Announcement) // may be nil

	// mu makes changes of configuration and of webhooks happen one after the
	// other. It is held across calls of the store, never while waiting for the
	// dispatcher: an attempt that disables its webhook needs it.
	mu          sync.Mutex
	generations []*Generation
	resealing   resealing
	started     bool
	closed      bool
}

// Open returns a gateway over a store. Nothing is delivered before the first
// Apply.
func Open(ctx context.Context, o Options) (*Gateway, error) {
	g := &Gateway{
		store:    o.Store,
		log:      o.Logger,
		observer: o.Observer,
		now:      o.Clock,
		owner:    o.Owner,
		announce: o.Announce,
		keyFile:  o.KeyFile,
		webhooks: newRegistry(),
		locks:    newKeyedLocks(),
		owing:    newKeyedLocks(),
		sender:   dispatch.NewSender(o.Logger),

		filterErrors: budgets{anHour: filterErrorsAnHour},
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.observer == nil {
		g.observer = nobody{}
	}
	g.marker = []byte(rand.Text())
	var err error
	if g.keys, err = loadKeys(ctx, o.Store, o.Logger); err != nil {
		return nil, fmt.Errorf("load api keys: %w", err)
	}
	g.authLimit = newAuthLimit(g.now)
	g.activity = newActivity(g.now())
	if err = g.replays.load(ctx, o.Store); err != nil {
		return nil, fmt.Errorf("load replays: %w", err)
	}
	g.operations = newOperations(g)
	if g.failing, err = loadFailing(ctx, g); err != nil {
		return nil, fmt.Errorf("load health of webhooks: %w", err)
	}
	g.dispatcher = dispatch.New(dispatch.Options{
		Store:     o.Store,
		Receivers: receivers{g},
		Sender:    g.sender,
		Owner:     o.Owner,
		Logger:    o.Logger,
		Observer:  deliveryObserver{Observer: g.observer, g: g},
		Clock:     o.Clock,
	})
	return g, nil
}

// Apply puts settings in force and returns their generation. Until it is
// withdrawn the newest generation that was applied decides. The first Apply
// starts delivery.
func (g *Gateway) Apply(ctx context.Context, s *Settings) (*Generation, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, queue.ErrClosed
	}
	keys, err := g.adoptKeys(ctx, s)
	if err != nil {
		return nil, err
	}
	if !g.loaded {
		if err := g.loadWebhooks(ctx); err != nil {
			return nil, fmt.Errorf("load webhooks: %w", err)
		}
		g.loaded = true
	}
	gen, err := g.newGeneration(ctx, s)
	if err != nil {
		return nil, err
	}
	gen.secrets = keys
	g.generations = append(g.generations, gen)
	g.install()
	if !g.started {
		owed, err := g.claimOwedRetries(ctx)
		if err != nil {
			g.generations = nil
			return nil, fmt.Errorf("load retries by hand: %w", err)
		}
		if err := g.dispatcher.Start(); err != nil {
			g.generations = nil
			return nil, fmt.Errorf("start dispatcher: %w", err)
		}
		g.makeOwedRetries(ctx, owed)
		g.janitor.start(g)
		g.replays.start(g)
		g.operations.start()
		g.failing.start()
		g.started = true
	}
	return gen, nil
}

// Withdraw takes a generation back. If it was in force, the newest of the
// others is in force again; the last one stays in force until Close, so that
// what is under way can end. Withdrawing twice is no error.
func (g *Gateway) Withdraw(gen *Generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.generations, gen)
	if i < 0 {
		return
	}
	g.generations = slices.Delete(g.generations, i, i+1)
	if len(g.generations) > 0 {
		g.install()
		gen.settings.Egress.Close()
	}
}

// install puts the newest generation in force. The caller holds mu.
func (g *Gateway) install() {
	newest := g.generations[len(g.generations)-1]
	if g.current.Load() == newest {
		return
	}
	newest.adoptStates()
	g.sealWith(newest.secrets.primary)
	g.current.Store(newest)
	g.dispatcher.SetWorkers(newest.settings.Workers)
	g.dispatcher.RefreshAll()
}

// StopIntake makes Publish refuse from now on, with a problem that asks the
// client to come back. It is the first step of leaving the process.
func (g *Gateway) StopIntake() { g.closing.Store(true) }

// Close stops intake, gives the attempts in flight the drain timeout to end,
// cancels the rest, which uses up no attempt, and closes the store. Closing
// twice is no error.
func (g *Gateway) Close() error {
	g.StopIntake()
	g.mu.Lock()
	again := g.closed
	g.closed = true
	g.mu.Unlock()
	if again {
		return nil
	}

	gen := g.current.Load()
	drain := time.Duration(0)
	if gen != nil {
		drain = gen.settings.DrainTimeout
	}
	g.janitor.cancel()
	g.replays.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := g.dispatcher.Stop(ctx); err != nil {
		g.log.Warn("attempts in flight were cut short; they are made again at the next start",
			zap.Duration("drain_timeout", drain))
	}
	g.tests.stop(ctx)
	g.replays.wait()
	g.janitor.wait()
	g.failing.stop()
	g.operations.stop()
	g.resealing.stop()
	if gen != nil {
		gen.settings.Egress.Close()
	}
	if err := g.store.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Closing says whether the gateway has begun to close, or is closed.
func (g *Gateway) Closing() bool { return g.closing.Load() }

// Stats returns the state of the store.
func (g *Gateway) Stats() queue.Stats { return g.store.Stats() }

// SendingErr returns why nothing is sent until a restart; nil while all is well.
func (g *Gateway) SendingErr() error { return g.dispatcher.Err() }

// ReceiversDown counts the webhooks whose deliveries wait because their receivers
// do not answer.
func (g *Gateway) ReceiversDown() int { return g.dispatcher.Down() }

// Pending counts the deliveries that are pending.
func (g *Gateway) Pending() int { return g.store.Backlog("") }

// Settings returns the settings in force, or nil before the first Apply.
func (g *Gateway) Settings() *Settings {
	if gen := g.current.Load(); gen != nil {
		return gen.settings
	}
	return nil
}

// generation returns the generation in force, or why there is none.
func (g *Gateway) generation() (*Generation, error) {
	gen := g.current.Load()
	if gen == nil {
		return nil, unavailable("The gateway is starting. Send the request again.")
	}
	return gen, nil
}

// deliveryObserver passes on what the dispatcher reports and acts on what
// changes a webhook.
type deliveryObserver struct {
	Observer
	g *Gateway
}

// Gone disables a webhook whose receiver answered 410 (contract section 1), unless
// it has another receiver by now.
func (o deliveryObserver) Gone(sub *webhook.Subscription) {
	o.Observer.Gone(sub)
	o.g.disable(sub.ID, webhook.ReasonGone, func(now *webhook.Subscription) bool {
		return now == nil || now.URL == sub.URL
	})
}

// Settled counts an outcome for the dashboard's plots, and against its webhook if
// it is a failure.
func (o deliveryObserver) Settled(r dispatch.Report) {
	o.Observer.Settled(r)
	o.g.failing.settled(&r)
	o.g.operations.settled(&r)
	o.g.activity.settled(r, o.g.now())
	if id := r.Delivery.WebhookID; o.g.webhooks.get(id) == nil { // it was deleted before this was recorded
		o.g.activity.forget(id)
	}
}
