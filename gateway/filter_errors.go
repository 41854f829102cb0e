package gateway

import (
	"errors"

	"github.com/tengineai/webhook-gateway/filter"
)

// filterErrorsAnHour is how many filter errors of a webhook are recorded in an hour,
// before that is one a second (contract section 3).
const filterErrorsAnHour = 1000

// brokenRule is the rule of a webhook whose filter does not compile.
var brokenRule = mustBreak()

func mustBreak() *filter.Rule {
	rule, err := filter.Compile(brokenEngine{}, filter.Names{}, nil, "broken")
	if err != nil {
		panic("gateway: " + err.Error()) // brokenEngine takes every text
	}
	return rule
}

// brokenEngine makes programs that fail on every event.
type brokenEngine struct{}

func (brokenEngine) Compile(string, filter.Names) (filter.Program, error) { return brokenEngine{}, nil }

var errBrokenFilter = errors.New("the filter does not compile under the present settings")

func (brokenEngine) Match(*filter.Event) (bool, error) { return false, errBrokenFilter }
