package dispatch

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRingGivesEveryWaitingLaneItsTurn compares the ring with what it promises:
// lanes without a project first, else a project that waited longest, and in it
// the lane that waited longest, whether or not it had its project all the time.
func TestRingGivesEveryWaitingLaneItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		projects := make([]*project, 4)
		for i := range projects {
			projects[i] = &project{id: fmt.Sprint(i)}
		}
		var r ring
		var unassigned, known, found []*lane // found: unassigned whose turn is under way
		now := 0
		since := map[*lane]int{}     // when it was pushed
		turned := map[*project]int{} // when it last had a turn, or began to wait for one
		waits := func(p *project) bool {
			return slices.ContainsFunc(known, func(l *lane) bool { return l.project == p })
		}
		pop := func(t *rapid.T) {
			var want *lane
			now++
			switch {
			case len(unassigned) > 0:
				want = unassigned[0]
				unassigned, found = unassigned[1:], append(found, want)
			case len(known) > 0:
				want = slices.MinFunc(known, func(a, b *lane) int {
					return cmp.Or(turned[a.project]-turned[b.project], since[a]-since[b])
				})
				known = slices.DeleteFunc(known, func(l *lane) bool { return l == want })
				turned[want.project] = now
			}
			if got := r.pop(); got != want {
				t.Fatalf("pop gave %p, want %p", got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				l := &lane{}
				now++
				since[l] = now
				if i := rapid.IntRange(-1, len(projects)-1).Draw(t, "project"); i >= 0 {
					l.project = projects[i]
					if !waits(l.project) {
						turned[l.project] = now
					}
					known = append(known, l)
				} else {
					unassigned = append(unassigned, l)
				}
				r.push(l)
			},
			"pop": pop,
			"settle": func(t *rapid.T) {
				if len(found) == 0 {
					t.Skip("none is found out")
				}
				i := rapid.IntRange(0, len(found)-1).Draw(t, "lane")
				l := found[i]
				found = slices.Delete(found, i, i+1)
				l.project = rapid.SampledFrom(projects).Draw(t, "project")
				if !waits(l.project) {
					turned[l.project] = max(turned[l.project], since[l])
				}
				known = append(known, l)
				r.settle(l)
			},
			"": func(t *rapid.T) {
				if n := len(unassigned) + len(known); r.waiting != n {
					t.Fatalf("%d lanes wait, want %d", r.waiting, n)
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
