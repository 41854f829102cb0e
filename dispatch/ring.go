package dispatch

// ring holds the lanes that wait for a turn. Projects take turns, and within a
// project its lanes do, so that neither a busy webhook nor a project with many
// webhooks holds up the others. Lanes whose project is not known yet come
// first: their turn shows where they belong. Those that have come to their share of
// the workers are set aside and take no turns, until an attempt ends.
type ring struct {
	unassigned fifo[*lane]    // those whose project is not known yet
	projects   fifo[*project] // those with waiting lanes, by since
	waiting    int            // lanes, of all kinds, but for those aside
	aside      fifo[*project] // those with lanes aside, maybe some without
	ticks      uint64         // counts pushes and pops, to tell what came first
}

// project is the lanes of one project.
type project struct {
	id      string
	members int         // lanes that belong to it, waiting or not
	waiting fifo[*lane] // by since
	since   uint64      // when it began to wait for its turn, or last had one

	inflight int         // of its lanes, together
	aside    fifo[*lane] // those that are set aside
	listed   bool        // it is in ring.aside
}

// push puts l behind the other lanes of its project.
func (r *ring) push(l *lane) {
	r.waiting++
	r.ticks++
	l.since = r.ticks
	p := l.project
	if p == nil {
		r.unassigned.push(l)
		return
	}
	if p.waiting.len() == 0 {
		p.since = r.ticks
		r.projects.push(p)
	}
	p.waiting.push(l)
}

// settle puts l, whose turn has shown where it belongs, where it would stand
// had that been known when it was pushed: while it was found out, others may
// have had their turns and be waiting again.
func (r *ring) settle(l *lane) {
	r.waiting++
	p := l.project
	if p.waiting.len() == 0 {
		p.since = max(p.since, l.since)
		r.projects.insert(p, func(q *project) bool { return q.since > p.since })
	}
	p.waiting.insert(l, func(m *lane) bool { return m.since > l.since })
}

// pop returns the lane whose turn it is, or nil when none waits.
func (r *ring) pop() *lane {
	if r.waiting == 0 {
		return nil
	}
	r.waiting--
	r.ticks++
	if r.unassigned.len() > 0 {
		return r.unassigned.pop()
	}
	p := r.projects.pop()
	l := p.waiting.pop()
	p.since = r.ticks
	if p.waiting.len() > 0 {
		r.projects.push(p)
	}
	return l
}

// setAside keeps l, whose turn it is, from having more of them for now.
func (r *ring) setAside(l *lane) {
	p := l.project
	p.aside.push(l)
	if !p.listed {
		p.listed = true
		r.aside.push(p)
	}
}

// bringBack lets lanes wait for their turns again because a lane of p has done with
// an attempt, or with a turn that came to nothing: one of p, and one of the project
// that has been aside for longest, because the worker that is free may be for either.
// So a project with lanes aside always has one that holds a worker, or that waits.
func (r *ring) bringBack(p *project) {
	if p != nil && p.aside.len() > 0 {
		r.push(p.aside.pop())
	}
	for r.aside.len() > 0 {
		q := r.aside.pop()
		q.listed = false
		if q.aside.len() == 0 {
			continue
		}
		r.push(q.aside.pop())
		if q.aside.len() > 0 {
			q.listed = true
			r.aside.push(q)
		}
		return
	}
}

// fifo is a queue in a circular buffer. The zero value is empty.
type fifo[T any] struct {
	buf  []T // its length is a power of two
	head int
	n    int
}

func (q *fifo[T]) len() int { return q.n }

func (q *fifo[T]) push(v T) {
	if q.n == len(q.buf) {
		q.grow()
	}
	q.buf[(q.head+q.n)&(len(q.buf)-1)] = v
	q.n++
}

// insert puts v in front of those at the end that come after it.
func (q *fifo[T]) insert(v T, after func(T) bool) {
	q.push(v)
	mask := len(q.buf) - 1
	for i := q.head + q.n - 1; i > q.head && after(q.buf[(i-1)&mask]); i-- {
		q.buf[i&mask], q.buf[(i-1)&mask] = q.buf[(i-1)&mask], q.buf[i&mask]
	}
}

// pop must not be called on an empty queue.
func (q *fifo[T]) pop() T {
	var zero T
	v := q.buf[q.head]
	q.buf[q.head] = zero
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	return v
}

func (q *fifo[T]) grow() {
	buf := make([]T, max(4, 2*len(q.buf)))
	n := copy(buf, q.buf[q.head:])
	copy(buf[n:], q.buf[:q.head])
	q.buf, q.head = buf, 0
}
