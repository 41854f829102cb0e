package filter

import (
	"errors"
	"time"

	"github.com/expr-lang/expr/vm"
)

var (
	// ErrBudget is in the error of an evaluation that took more than MaxSteps
	// or MaxTime.
	ErrBudget = errors.New("the filter takes too much work on this event")

	// ErrEventTime is in the error of an evaluation that was not begun because
	// the event's filters had used up MaxEventTime.
	ErrEventTime = errors.New("filter time of this event is used up")

	// ErrProjectTime is in the error of an evaluation that was not begun because
	// the project's filters took more time than it has (ProjectTimes).
	ErrProjectTime = errors.New("filter budget exhausted: the filters of this project take too much time")
)

// budgetName is the name under which a running program finds its budget.
// Filters cannot write names that begin with two underscores.
const budgetName = "__budget"

// budget is what is left to one evaluation.
type budget struct {
	steps    int
	deadline time.Time
}

// reset fills the budget for a new evaluation that starts now.
func (b *budget) reset(now time.Time) {
	b.steps = 0
	b.deadline = now.Add(MaxTime)
}

// charge takes steps from the budget, before the work they stand for is done.
func (b *budget) charge(steps int) error {
	b.steps += steps
	if b.steps > MaxSteps {
		return ErrBudget
	}
	if b.steps > freeSteps && time.Now().After(b.deadline) {
		return ErrBudget
	}
	return nil
}

// read charges for reading a text of n bytes.
func (b *budget) read(n int) error { return b.charge(1 + n/256) }

// write charges for making a text of n bytes.
func (b *budget) write(n int) error { return b.charge(1 + n/64) }

// machine is what one evaluation of an expr program has for itself. It is used
// again for further programs on the same event.
type machine struct {
	env    map[string]any
	budget budget
	vm     vm.VM
}
