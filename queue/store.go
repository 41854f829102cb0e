// Package queue is the durable outbox: the contract that every store keeps
// (Store) and the retry schedule. Nothing here knows a database; badgerstore
// is the embedded default, and queuetest proves that a store keeps the
// contract.
package queue

import "errors"

// Errors of a Store. Test with errors.Is.
var (
	// ErrClosed: the store was closed. Nothing was done.
	ErrClosed = errors.New("store is closed")

	// ErrUnavailable: the store failed for good and must be opened again. For
	// the call that saw the failure, whether it took effect is unknown: repeat
	// it with the same ids after a restart.
	ErrUnavailable = errors.New("store is unavailable")

	// ErrFull: there is too little free space to take more. Nothing was done.
	ErrFull = errors.New("store is nearly full")

	// ErrBusy: too much waits to be stored already. Nothing was done; try again
	// soon.
	ErrBusy = errors.New("store is busy")

	// ErrClaimLost: the claim has ended, by its deadline or by Finish or
	// Release. Nothing was done.
	ErrClaimLost = errors.New("claim is lost")

	// ErrClaimed: somebody else has claimed the delivery. Nothing was done.
	ErrClaimed = errors.New("delivery is claimed")

	// ErrCorrupt: what is stored does not match its checksum.
	ErrCorrupt = errors.New("record is damaged")

	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("not found")

	// ErrVersion: the record has another version than the caller expected.
	ErrVersion = errors.New("record has changed meanwhile")

	// ErrCursor: the cursor is not one that this list gave. A list is known by
	// all fields of its query but Cursor and Limit.
	ErrCursor = errors.New("cursor is not valid here")
)

// Store keeps events, their deliveries and attempts, and records beside them. It
// is made of four parts, each with a file that says what its methods promise:
//
//   - Outbox (outbox.go): events come in, deliveries are claimed and finished.
//   - History (history.go): what became of events and deliveries.
//   - Records (records.go): what the gateway keeps beside them.
//   - Upkeep (upkeep.go): what is too old goes, counts, the end.
//
// A store that can be backed up while it works is a Backuper, too. To write one,
// read these files in that order, then run queuetest against it: it exercises
// what they say.
//
// What follows holds for every method of all parts.
//
// All methods are safe for concurrent use. What a method returned as done is
// on stable storage, unless it says otherwise: it survives a kill of the process
// and a loss of power. The context bounds waiting only: when it ends first the
// call returns its error and what was asked for may still be done. After Close
// every method returns ErrClosed, and ErrUnavailable once the store has failed;
// what other errors mean is said where they occur. Byte slices and structs that
// go in or come out are not shared with the store afterwards, with one exception:
// the Event of a Publication and of a Claimed is shared and must not be changed
// by either side.
//
// Times are the caller's: the store asks no clock what time it is. Only
// Publication.Event's ReceivedAt, ClaimRequest.Now and the like move its time.
type Store interface {
	Outbox
	History
	Records
	Upkeep
}
