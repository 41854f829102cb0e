package dispatch

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRingGivesEveryWaitingLaneItsTurn compares the ring with what it promises:
// strangers first, else a project that waited longest, and in it the lane that
// waited longest.
func TestRingGivesEveryWaitingLaneItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		projects := make([]*project, 4)
		for i := range projects {
			projects[i] = &project{id: fmt.Sprint(i)}
		}
		var r ring
		var strangers []*lane
		var order []*project
		queues := map[*project][]*lane{}
		waiting := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				l := &lane{}
				if i := rapid.IntRange(-1, len(projects)-1).Draw(t, "project"); i >= 0 {
					l.project = projects[i]
					if len(queues[l.project]) == 0 {
						order = append(order, l.project)
					}
					queues[l.project] = append(queues[l.project], l)
				} else {
					strangers = append(strangers, l)
				}
				waiting++
				r.push(l)
			},
			"pop": func(t *rapid.T) {
				var want *lane
				switch {
				case len(strangers) > 0:
					want, strangers = strangers[0], strangers[1:]
					waiting--
				case len(order) > 0:
					p := order[0]
					order = order[1:]
					want, queues[p] = queues[p][0], queues[p][1:]
					if len(queues[p]) > 0 {
						order = append(order, p)
					}
					waiting--
				}
				if got := r.pop(); got != want {
					t.Fatalf("pop gave %p, want %p", got, want)
				}
			},
			"": func(t *rapid.T) {
				if r.waiting != waiting {
					t.Fatalf("%d lanes wait, want %d", r.waiting, waiting)
				}
			},
		})
	})
}

func TestAlarmRingsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a alarm
		set := map[*lane]time.Time{}
		lanes := make([]*lane, 20)
		for i := range lanes {
			lanes[i] = &lane{}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				l := rapid.SampledFrom(lanes).Draw(t, "lane")
				at := time.Unix(rapid.Int64Range(0, 50).Draw(t, "at"), 0)
				a.set(l, at)
				set[l] = at
			},
			"remove": func(t *rapid.T) {
				l := rapid.SampledFrom(lanes).Draw(t, "lane")
				if l.place == sleeping {
					a.remove(l)
					delete(set, l)
				}
			},
			"": func(t *rapid.T) {
				if len(a.lanes) != len(set) {
					t.Fatalf("%d lanes sleep, want %d", len(a.lanes), len(set))
				}
				for l, at := range set {
					if first := a.first(); first.wakeAt.After(at) || l.place != sleeping || a.lanes[l.index] != l {
						t.Fatalf("the alarm rings first at %v, a lane is set to %v", first.wakeAt, at)
					}
				}
			},
		})
	})
}
