package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"

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

// after returns the id that a page of the list follows. As in the store, a cursor
// is an id under a checksum over it and the list's name, so that it is of no use
// for another list.
func (p Page) after(list string) (string, error) {
	if err := checkLimit(p); err != nil {
		return "", err
	}
	if p.Cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Cursor)
	if err != nil || len(b) < 5 || binary.BigEndian.Uint32(b) != cursorChecksum(list, string(b[4:])) {
		return "", BadCursor()
	}
	return string(b[4:]), nil
}

// cursorAfter returns the cursor of the page that follows an id in a list.
func cursorAfter(list, id string) string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(id)), cursorChecksum(list, id))
	return base64.RawURLEncoding.EncodeToString(append(b, id...))
}

func cursorChecksum(list, id string) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(list)), crc32.IEEETable, []byte(id))
}

const listOfProjects = "projects"

func listOfWebhooks(projectID string) string { return fmt.Sprintf("webhooks %q", projectID) }

func listOfOutcomes(projectID, eventID string) string {
	return fmt.Sprintf("outcomes %q %q", projectID, eventID)
}

// checkLimit judges the size of a page.
func checkLimit(p Page) error {
	if p.Limit >= 1 && p.Limit <= MaxPage {
		return nil
	}
	return badParameter("limit", fmt.Sprintf("A limit is 1 to %d.", MaxPage))
}

// BadCursor is what a cursor is told that the list it is sent to has not given.
func BadCursor() *problem.Error {
	return badParameter("cursor", "Use the next_cursor of the page before, with the same parameters; without a cursor the list begins anew.")
}
