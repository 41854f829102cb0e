package gateway

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/tengineai/webhook-gateway/problem"
)

// Page asks for a part of a list. Cursor is empty for the first, else what
// the part before it gave. Limit is 1 to MaxPage.
type Page struct {
	Cursor string
	Limit  int
}

// The sizes of pages (contract section 3).
const (
	DefaultPage = 50
	MaxPage     = 200
)

// after returns the id that the page follows.
func (p Page) after() (string, error) {
	var items []problem.Item
	if p.Limit < 1 || p.Limit > MaxPage {
		items = append(items, problem.Item{
			Code: problem.InvalidValue, Parameter: "limit", Detail: fmt.Sprintf("The limit must be 1 to %d.", MaxPage),
		})
	}
	id, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || p.Cursor != "" && !strings.HasPrefix(string(id), webhookPrefix) {
		items = append(items, problem.Item{
			Code: problem.InvalidValue, Parameter: "cursor", Detail: "The cursor is not one that this list gave. Leave it out to begin anew.",
		})
	}
	if len(items) > 0 {
		return "", problem.New(problem.Invalid, "The request breaks a rule; see errors.", items...)
	}
	return string(id), nil
}

// pageLimit returns how many entries of a list are asked for.
func pageLimit(limit int) int {
	if limit < 1 || limit > MaxPage {
		return DefaultPage
	}
	return limit
}

// checkLimit judges the size of a page.
func checkLimit(p Page) error {
	if p.Limit >= 1 && p.Limit <= MaxPage {
		return nil
	}
	return badParameter("limit", fmt.Sprintf("A limit is 1 to %d.", MaxPage))
}

func badCursor() *problem.Error {
	return badParameter("cursor", "Use the next_cursor of the page before, with the same parameters; without a cursor the list begins anew.")
}
