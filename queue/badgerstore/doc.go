// Package badgerstore is the embedded queue.Store: one directory, one process,
// no server. It belongs to this package how publications, deliveries and
// records are laid out in Badger (keys.go, record.go), how they reach the disk
// (committer.go) and what is kept in memory about what is due (lane.go,
// journal.go). docs/adr/0006-store-layout.md gives the reasons.
//
// # Reading the source
//
// A call encodes what it wants written and hands a request to the committer,
// the only goroutine that writes. The committer packs all waiting requests
// into one transaction, commits it, applies each request to the memory, and
// wakes the callers. What a call reads it reads in a transaction of its own.
//
// Deliveries are not written when their event is published: the event's record
// names its targets, and a delivery gets a record when it ends or is put off.
// Until then it lives in the journal (journal.go); on start the journal is
// read back from the events that follow the persisted low-water mark.
//
// Lists of deliveries (list.go) merge the records with what each lane has in
// memory of those without one (unrecorded.go). Upkeep is the keeper's
// (keeper.go, scrub.go) and the caller's (retire.go, forget.go, backup.go).
// docs/adr/0009-history-and-upkeep.md gives the reasons.
//
// Locks are taken in this order: Store.life, Store.lanesMu, journal.mu,
// lane.mu. No lock is held while waiting for the committer, except Store.life.
package badgerstore
