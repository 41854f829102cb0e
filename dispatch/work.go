package dispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// maxClaim is how many deliveries are claimed in one turn at most. It bounds
// what a turn brings into memory.
const maxClaim = 32

// job is one claimed delivery on its way. The zero job is none.
type job struct {
	lane     *lane
	ctx      context.Context // ends when the attempt is to be cut short
	receiver *Receiver       // nil if the state allows it
	state    State
	claimed  *queue.Claimed
	trigger  webhook.Trigger // of an attempt by hand; empty: the Dispatcher claimed it
	sending  bool            // it counts in lane.sending
	answered bool            // the lane has its slot back
	ended    bool            // the claim was, by an outcome or a release
	settled  bool            // an outcome was recorded
}

// turn is a lane's turn to claim.
type turn struct {
	job // without a delivery

	// The lane's, to restore if the claim fails.
	due, lapse time.Time

	request queue.ClaimRequest
}

// maxResting is how many workers without work wait for some. A goroutine that
// rests has grown its stack already; that is a third of what a delivery costs.
const maxResting = 64

// worker is what a worker that rests is woken with, once; closed, it ends.
type worker chan job

// staff starts workers while lanes wait for one. Call it with d.mu held after
// lanes were arranged.
func (d *Dispatcher) staff() {
	for d.seeking < d.ring.waiting && d.busy < d.workers && !d.halted {
		d.seeking++
		d.busy++
		d.assign(job{})
	}
}

// assign gives j, and a worker token that the caller has taken, to a worker
// that rests, or to a new one. Call it with d.mu held.
func (d *Dispatcher) assign(j job) {
	if last := len(d.resting) - 1; last >= 0 {
		d.resting[last] <- j
		d.resting = d.resting[:last]
		return
	}
	d.running.Add(1)
	go d.work(make(worker, 1), j)
}

// work is a worker: it works on j, if any, and then takes turns until no lane
// waits for one. Meanwhile it holds one worker token.
func (d *Dispatcher) work(w worker, j job) {
	defer d.running.Done()
	defer d.guard("a worker")
	for awake := true; awake; j, awake = <-w {
		for more := true; more; j, more = d.seek(w, j) {
			if j.lane != nil {
				d.handle(&j)
			}
		}
	}
}

// seek takes turns until one yields a delivery. It returns false, without the
// worker token, when no lane waits. last is what the worker has just done.
func (d *Dispatcher) seek(w worker, last job) (job, bool) {
	started := last.lane == nil
	for {
		l := d.pick(w, last, started)
		if l == nil {
			return job{}, false
		}
		last, started = job{}, false

		receiver, state := d.resolve(l.webhookID)
		t, ok := d.open(job{lane: l, receiver: receiver, state: state})
		if !ok {
			continue
		}
		claimed, next, err := d.claim(t)
		d.conclude(t, claimed, next, err)
		if len(claimed) > 0 {
			t.claimed = &claimed[0]
			return t.job, true
		}
	}
}

// pick leaves the lane of the last job, if any, and returns the lane whose turn
// it is. When there is none, or there are too many workers, it returns nil: the
// worker token is given back and w rests or ends.
func (d *Dispatcher) pick(w worker, last job, started bool) *lane {
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if started {
		d.seeking--
	}
	if last.lane != nil {
		d.leave(&last, now)
	}
	if d.halted || d.busy > d.workers || d.ring.waiting == 0 {
		d.busy--
		d.rest(w)
		return nil
	}
	l := d.ring.pop()
	l.place, l.changed = turning, false
	d.staff()
	return l
}

// leave gives back the place in the lane that j had.
func (d *Dispatcher) leave(j *job, now time.Time) {
	l := j.lane
	l.hold(-1)
	if j.answered {
		l.answered--
	}
	if j.settled {
		l.faults = 0
	}
	d.ring.bringBack(l.project)
	d.arrange(l, now)
}

// rest keeps w for later, or lets it end.
func (d *Dispatcher) rest(w worker) {
	if d.halted || len(d.resting) == maxResting {
		close(w)
		return
	}
	d.resting = append(d.resting, w)
}

// resolve asks for the receiver. A panic there holds the webhook.
func (d *Dispatcher) resolve(webhookID string) (r *Receiver, state State) {
	defer func() {
		if p := recover(); p != nil {
			d.logPanic("resolving a webhook panicked", webhookID, p)
			r, state = nil, Held
		}
	}()
	r, state = d.receivers.Receiver(webhookID)
	if r == nil && state == Active {
		d.log.Error("active webhook has no receiver", zap.String("webhook_id", webhookID))
		state = Held
	}
	return r, state
}

// open begins the turn of a lane that was picked: it decides how many
// deliveries to claim and takes slots and worker tokens for them. It returns
// false if it is nothing, or not yet the lane's turn.
func (d *Dispatcher) open(j job) (turn, bool) {
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := j.lane
	if l.changed {
		l.place = idle
		d.arrange(l, now) // it has another turn
		return turn{}, false
	}
	l.adopt(j.receiver, j.state, now)

	if d.rehome(l, j.receiver) && d.ring.waiting > 0 {
		l.place = waiting
		d.ring.settle(l)
		return turn{}, false
	}
	if at, ok := l.next(now); !ok || at.After(now) {
		l.place = idle
		d.ring.bringBack(l.project)
		d.arrange(l, now)
		return turn{}, false
	}

	most := min(d.fairShare(), d.share(l))
	if most < 1 {
		l.place = waiting
		d.ring.setAside(l)
		return turn{}, false
	}
	n := min(l.most(now), maxClaim, most)
	t := turn{job: j, due: l.due, lapse: l.lapse, request: queue.ClaimRequest{
		WebhookID: l.webhookID,
		Owner:     d.owner,
		Max:       n,
		Now:       now,
		Due:       l.claimDue(now),
		Until:     l.claimUntil(now),
	}}
	l.due = time.Time{}
	if !now.Before(l.lapse) {
		l.lapse = time.Time{}
	}
	l.sweepAt = now.Add(sweepEvery) // unless this turn finds something
	l.claimedAt = now
	l.hold(n)
	d.busy += n - 1
	t.ctx = l.attempts.ctx
	return t, true
}

// fairShare returns how many worker tokens a turn may use: its own, and its
// part of those that are free.
func (d *Dispatcher) fairShare() int {
	return 1 + max(0, d.workers-d.busy)/(d.ring.waiting+1)
}

// fewWorkers are too few to keep some of them back.
const fewWorkers = 64

// share returns how many more workers the lane may hold, the one that serves its
// turn included. A project may hold twice as many as are free, and a lane three
// times as many as its project may still take, so that receivers that take their
// time cannot hold them all: a project alone gets two thirds of the workers, its
// only webhook half of them, the next project two thirds of what is left. One that
// holds none may always have one.
func (d *Dispatcher) share(l *lane) int {
	if d.workers < fewWorkers {
		return d.workers
	}
	const (
		ofProject = 2
		ofLane    = 3
	)
	free := d.workers - d.busy
	project := (ofProject*(free+1) + 1 - l.project.inflight) / (ofProject + 1)
	return (ofLane*project + 1 - l.inflight) / (ofLane + 1)
}

// rehome moves l to the project of its webhook.
func (d *Dispatcher) rehome(l *lane, r *Receiver) (moved bool) {
	projectID := ""
	if r != nil {
		projectID = r.Subscription.ProjectID
	}
	if l.project != nil && (r == nil || l.project.id == projectID) {
		return false
	}
	d.ring.bringBack(l.project) // the turn is none of its any more
	d.join(l, projectID)
	return true
}

func (d *Dispatcher) claim(t turn) (claimed []queue.Claimed, next time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.logPanic("claiming deliveries panicked", t.lane.webhookID, p)
			claimed, err = nil, errors.New("claim panicked")
		}
	}()
	return d.store.Claim(context.Background(), t.request)
}

// conclude ends a turn: it assigns workers to all deliveries but the first,
// gives back the slots and tokens that were not needed, and keeps one token for
// the worker itself.
func (d *Dispatcher) conclude(t turn, claimed []queue.Claimed, next time.Time, err error) {
	if err != nil {
		d.storeFailed("claim deliveries", t.lane.webhookID, err)
	}
	now := d.clock.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l, n := t.lane, len(claimed)
	l.hold(n - t.request.Max)
	d.busy -= t.request.Max - max(n, 1)
	for i := 1; i < n; i++ {
		t.claimed = &claimed[i]
		d.assign(t.job)
	}
	if l.limiter != nil && t.state == Active {
		l.limiter.ReserveN(now, n)
	}
	if err != nil {
		// What the claim has taken all the same comes back when it runs out.
		l.told(t.due)
		l.lapse = latest(l.lapse, t.lapse, t.request.Until)
		l.fault(now)
	}
	l.told(next)
	l.place = idle
	for range t.request.Max - n { // others stood aside for these
		d.ring.bringBack(l.project)
	}
	d.arrange(l, now)
	d.staff()
}
