package dispatch

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/tengineai/webhook-gateway/webhook"
)

// lane is what the Dispatcher knows of one webhook. It holds counts and times,
// never deliveries, so the backlog does not weigh on it. All fields but the
// atomic ones belong to Dispatcher.mu.
type lane struct {
	webhookID string
	project   *project // nil until the first turn

	attempts attemptContext // those in flight

	place  place
	since  uint64    // when it began to wait for its turn, in ticks of the ring
	index  int       // in the alarm, while sleeping
	wakeAt time.Time // when the alarm rings, while sleeping

	// due is the earliest time at which, by what the store has told, a
	// delivery can be claimed. Zero: none is pending and unclaimed.
	due time.Time

	// lapse is when the last of the claims that could not be ended runs out, so
	// that their deliveries can be claimed again. Zero: there are none.
	lapse time.Time

	// look asks for a turn whether or not anything is due: the lane is new, or
	// its webhook has changed.
	look bool

	// changed says that the webhook was said to have changed since the lane's turn
	// began, so that what the turn knows of it may be what was before.
	changed bool

	// What the receiver said at the last turn.
	state       State
	concurrency int
	timeout     time.Duration
	longest     time.Duration // the longest wait that a schedule has given since the lane began

	inflight  int       // deliveries that are claimed
	answered  int       // those of them that the receiver is done with
	hangs     bool      // the latest attempt to end ran into its timeout
	claimedAt time.Time // when the latest of them were, by the clock the store saw

	limiter *rate.Limiter // nil: no rate limit
	rate    webhook.Rate  // what limiter is set to

	// sending counts attempts that have begun, from before they asked for the
	// present receiver. Forget waits for it to be 0 and is told by drained.
	sending    atomic.Int32
	forgetting atomic.Bool
	drained    chan struct{} // nil unless forgetting

	breaker breaker

	// faults counts failures of the gateway itself (not of the receiver) since
	// an outcome was last recorded; pausedUntil keeps the lane back after one.
	faults      int
	pausedUntil time.Time

	// sweepAt is when to look for deliveries that have expired while the
	// webhook is held.
	sweepAt time.Time

	// skew is how far due times lie ahead of what the schedule can give.
	skew time.Duration
}

// place says where a lane is.
type place int

const (
	idle     place = iota // nowhere: it waits for the store, an attempt in flight or a refresh
	waiting               // in the ring
	sleeping              // in the alarm
	turning               // its turn is under way
)

// told notes that the store has a delivery that can be claimed from due on.
func (l *lane) told(due time.Time) {
	if !due.IsZero() && (l.due.IsZero() || due.Before(l.due)) {
		l.due = due
	}
}

// hold counts n more deliveries that are claimed.
func (l *lane) hold(n int) {
	l.inflight += n
	if l.project != nil {
		l.project.inflight += n
	}
}

// pending says whether there is something to claim, now or later.
func (l *lane) pending() bool { return !l.due.IsZero() || !l.lapse.IsZero() }

// adopt takes over what the receiver says now.
func (l *lane) adopt(r *Receiver, state State, now time.Time) {
	if state.held() && (l.look || !l.state.held()) {
		l.sweepAt = now.Add(sweepEvery)
	}
	if state == Disabled || state == Unknown {
		l.breaker = breaker{} // who enables it again wants to know at once
	}
	l.look = false
	l.state = state
	if r == nil {
		l.concurrency, l.timeout = bareConcurrency, bareTimeout
		return
	}
	l.concurrency = max(1, r.Concurrency)
	l.timeout = r.Timeout
	l.longest = max(l.longest, r.Schedule.Longest())
	l.setRate(r.Rate, now)
}

// What a lane goes by whose webhook has no Receiver: its deliveries only end.
const (
	bareConcurrency = 16
	bareTimeout     = 5 * time.Second
)

// slots returns how many more deliveries the lane may claim now. While the
// gateway's own faults keep it back it tries one at a time. So it does with a
// receiver that hangs, because attempts that wait for a timeout hold workers
// that others need.
func (l *lane) slots() int {
	switch {
	case l.faults > 0:
		return 1 - l.inflight
	case l.hangs, l.state == Active && l.breaker.open:
		return 1 - (l.inflight - l.answered)
	default:
		return l.concurrency - (l.inflight - l.answered)
	}
}

// most returns how many deliveries the lane may claim in the turn that it has.
func (l *lane) most(now time.Time) int {
	switch l.state {
	case Active:
		return min(l.slots(), l.allowance(now))
	case Held, Parked:
		return min(l.slots(), 2) // the oldest first attempt and the oldest retry
	case Disabled, Unknown:
	}
	return l.slots()
}

// sweepEvery is how often a held webhook is looked through for what has expired.
const sweepEvery = time.Hour

// next returns when the lane should have its next turn. It returns false if no
// time brings it nearer: only the store, an attempt that ends or a refresh.
func (l *lane) next(now time.Time) (time.Time, bool) {
	switch {
	case l.look:
		return now, true
	case !l.pending(), l.slots() < 1:
		return time.Time{}, false
	}

	at := latest(now, l.pausedUntil)
	switch l.state {
	case Active:
		at = latest(l.dueAt(now), l.pausedUntil, l.rateAllows(now), l.breaker.probeAt)
	case Held, Parked:
		at = latest(now, l.pausedUntil, l.sweepAt)
	case Disabled, Unknown:
		if l.due.IsZero() {
			at = latest(at, l.lapse)
		}
	}
	if l.overtakes(latest(at, now)) {
		return time.Time{}, false
	}
	return at, true
}

// dueAt returns when there is something to claim for an attempt.
func (l *lane) dueAt(now time.Time) time.Time {
	if l.due.IsZero() {
		return l.lapse
	}
	due := l.drawn(now)
	if !l.lapse.IsZero() && l.lapse.Before(due) {
		return l.lapse
	}
	return due
}

// drawn returns l.due unless that is further away than any schedule of this
// process has reached. Then the clock went back while the gateway was down, or
// the schedule was made shorter meanwhile, and l.due is drawn nearer: to the
// longest wait of the schedule. What follows it is drawn by as much.
func (l *lane) drawn(now time.Time) time.Time {
	excess := l.due.Sub(now) - l.longest
	if excess <= 0 {
		return l.due
	}
	l.skew = max(l.skew, excess)
	return l.due.Add(-l.skew)
}

// claimDue returns until when what falls due is claimed: usually now, later for
// what is claimed before its time.
func (l *lane) claimDue(now time.Time) time.Time {
	switch l.state {
	case Active:
		if l.drawn(now).After(now) {
			return now
		}
	case Held, Parked:
		return now
	case Disabled, Unknown:
	}
	return latest(now, l.due)
}

// overtakes says whether claiming at the given time would make the store take
// claims of attempts in flight for expired, and so give out their deliveries a
// second time. Only a clock that jumped can do that; the lane then waits until
// nothing is in flight.
func (l *lane) overtakes(at time.Time) bool {
	return l.inflight > 0 && at.Sub(l.claimedAt) > l.timeout+claimMargin/4
}

// claimMargin is how much longer a claim lasts than the attempt can take. The
// commit of the outcome has to fit.
const claimMargin = 2 * time.Minute

func (l *lane) claimUntil(at time.Time) time.Time {
	return at.Add(l.timeout + bodyTime + claimMargin)
}

// fault keeps the lane back after a failure of the gateway itself: 1 s, growing
// to 1 min. Attempts that were in flight side by side count once.
func (l *lane) fault(now time.Time) (until time.Time) {
	if !now.Before(l.pausedUntil) {
		l.faults++
		l.pausedUntil = now.Add(min(time.Second<<min(l.faults-1, 10), time.Minute))
	}
	return l.pausedUntil
}

// setRate sets the rate limit. What was used up under the old one stays so.
func (l *lane) setRate(r webhook.Rate, now time.Time) {
	if r == l.rate {
		return
	}
	l.rate = r
	if r.N < 1 || r.Per <= 0 {
		l.limiter = nil
		return
	}
	perSecond := rate.Limit(float64(r.N) / r.Per.Seconds())
	// Attempts are spread evenly. What would come within one hundredth of a
	// second may go at once: timers are no finer than that under load.
	burst := max(1, int(float64(perSecond)/100))
	if l.limiter == nil {
		l.limiter = rate.NewLimiter(perSecond, burst)
		return
	}
	l.limiter.SetLimitAt(now, perSecond)
	l.limiter.SetBurstAt(now, burst)
}

// allowance returns how many attempts the rate limit allows now.
func (l *lane) allowance(now time.Time) int {
	if l.limiter == nil {
		return math.MaxInt
	}
	return int(l.limiter.TokensAt(now) + rateTolerance)
}

// rateTolerance makes up for the rounding of the limiter's arithmetic.
const rateTolerance = 1e-6

// rateAllows returns when the rate limit allows the next attempt.
func (l *lane) rateAllows(now time.Time) time.Time {
	if l.limiter == nil {
		return now
	}
	return l.filled(1, now)
}

// unlimited returns when the limiter has forgotten all attempts.
func (l *lane) unlimited(now time.Time) time.Time {
	if l.limiter == nil {
		return now
	}
	return l.filled(float64(l.limiter.Burst()), now)
}

// filled returns when the limiter has n tokens.
func (l *lane) filled(n float64, now time.Time) time.Time {
	missing := n - l.limiter.TokensAt(now) - rateTolerance
	if missing <= 0 {
		return now
	}
	return now.Add(time.Duration(math.Ceil(missing / float64(l.limiter.Limit()) * float64(time.Second))))
}

func latest(times ...time.Time) time.Time {
	var t time.Time
	for _, u := range times {
		if u.After(t) {
			t = u
		}
	}
	return t
}
