package dispatch

import (
	"container/heap"
	"time"
)

// alarm holds the lanes that wait for a time, the earliest first.
type alarm struct{ lanes laneHeap }

// set makes l ring at the given time, whether or not it was set before.
func (a *alarm) set(l *lane, at time.Time) {
	l.wakeAt = at
	if l.place == sleeping {
		heap.Fix(&a.lanes, l.index)
		return
	}
	l.place = sleeping
	heap.Push(&a.lanes, l)
}

// remove takes l out; it must be in.
func (a *alarm) remove(l *lane) {
	heap.Remove(&a.lanes, l.index)
	l.place = idle
}

// first returns the lane that rings first, or nil.
func (a *alarm) first() *lane {
	if len(a.lanes) == 0 {
		return nil
	}
	return a.lanes[0]
}

// laneHeap implements heap.Interface by wakeAt.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].wakeAt.Before(h[j].wakeAt) }

func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
