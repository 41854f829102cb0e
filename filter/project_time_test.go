package filter_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/webhook"
)

// slow is an engine whose programs take a while and match.
type slow time.Duration

func (s slow) Compile(string, filter.Names) (filter.Program, error) { return s, nil }

func (s slow) Match(*filter.Event) (bool, error) {
	time.Sleep(time.Duration(s))
	return true, nil
}

func TestAProjectThatUsesUpItsTimeTakesItFromItselfOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule, err := filter.Compile(slow(50*time.Millisecond), filter.Names{}, nil, "slow")
		if err != nil {
			t.Fatal(err)
		}
		x := filter.NewIndex()
		for id, project := range map[string]string{"wh_all": webhook.AllProjects, "wh_a": "a", "wh_b": "b"} {
			x.Put(filter.Entry{ID: id, ProjectID: project, Events: []string{"*"}, Rule: rule})
		}
		var times filter.ProjectTimes
		publish := func(project string) (failed []string) {
			ev := filter.NewEvent(&webhook.Event{ID: "evt_1", Type: "project.created", ProjectID: project}, nil, filter.Names{})
			ev.Limit(&times)
			x.Match(ev, func(id string, err error) {
				if errors.Is(err, filter.ErrProjectTime) {
					failed = append(failed, id)
				} else if err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
			return failed
		}

		// Each event takes 50 ms of the project's time, and brings 50 ms back:
		// a half of the 100 ms that the two filters take. So wait in vain.
		for range 200 {
			if failed := publish("a"); len(failed) > 0 {
				t.Fatalf("%v failed within the project's share", failed)
			}
		}
		busy := slow(500 * time.Millisecond)
		rule, err = filter.Compile(busy, filter.Names{}, nil, "busier")
		if err != nil {
			t.Fatal(err)
		}
		x.Put(filter.Entry{ID: "wh_a", ProjectID: "a", Events: []string{"*"}, Rule: rule})
		failures := 0
		for range 20 {
			for _, id := range publish("a") {
				failures++
				if id != "wh_a" {
					t.Errorf("%s failed for the time of project a", id)
				}
			}
		}
		if failures == 0 {
			t.Error("a project took all the time it wanted")
		}
		if failed := publish("b"); len(failed) > 0 {
			t.Errorf("%v failed for the time of another project", failed)
		}
		time.Sleep(10 * time.Second)
		if failed := publish("a"); len(failed) > 0 {
			t.Errorf("%v still fails after a pause", failed)
		}
	})
}
