package dispatch

// ring holds the lanes that wait for a turn. Projects take turns, and within a
// project its lanes do, so that neither a busy webhook nor a project with many
// webhooks holds up the others. Lanes whose project is not known yet come
// first: their turn shows where they belong.
type ring struct {
	strangers fifo[*lane]
	projects  fifo[*project] // those with waiting lanes
	waiting   int            // lanes, of all kinds
}

// project is the lanes of one project.
type project struct {
	id      string
	members int // lanes that belong to it, waiting or not
	waiting fifo[*lane]
}

// push puts l behind the other lanes of its project.
func (r *ring) push(l *lane) {
	r.waiting++
	p := l.project
	if p == nil {
		r.strangers.push(l)
		return
	}
	if p.waiting.len() == 0 {
		r.projects.push(p)
	}
	p.waiting.push(l)
}

// pop returns the lane whose turn it is, or nil when none waits.
func (r *ring) pop() *lane {
	if r.waiting == 0 {
		return nil
	}
	r.waiting--
	if r.strangers.len() > 0 {
		return r.strangers.pop()
	}
	p := r.projects.pop()
	l := p.waiting.pop()
	if p.waiting.len() > 0 {
		r.projects.push(p)
	}
	return l
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
