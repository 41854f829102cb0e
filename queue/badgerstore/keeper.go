package badgerstore

import (
	"time"

	"go.uber.org/zap"
)

// A keeper does what needs doing beside the calls: it watches the free space,
// keeps the high-water mark, lets Badger tidy up when it is quiet, and has all
// that is stored read once a day.
type keeper struct {
	saved     uint64 // pack in the high-water mark
	seen      uint64 // newest pack at the last round
	quiet     int    // rounds without a pack
	flattened uint64 // newest pack when Badger last tidied up

	rounds int      // since age was taken
	age    eventKey // the newest event at that time

	scrub scrub

	tidying chan struct{} // closed when the last flatten was done; nil before the first
}

const (
	keeperRound = time.Second

	// putOffRounds are between two looks at the journal: what is live at two of
	// them gets its records. Else one receiver that hangs, or a webhook that
	// nobody delivers to, would hold the low-water mark and the memory of the
	// journal for as long as events are few.
	putOffRounds = 60

	// quietRounds without a commit are quiet time.
	quietRounds = 30

	// flattenLimit is the size of the largest store, in bytes, that is
	// flattened: a matter of seconds, because Close has to wait for it.
	flattenLimit = 128 << 20

	// packsPerFlatten is how many packs make tidying up worth while.
	packsPerFlatten = 1000

	// bytesPerFlatten is how many bytes of retired events do.
	bytesPerFlatten = 16 << 20
)

// keep runs until stopAll is closed.
func (s *Store) keep() {
	defer s.running.Done()
	defer func() {
		if p := recover(); p != nil {
			s.panicked("keeper", p)
		}
	}()
	tick := time.NewTicker(keeperRound)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.keepOnce()
		case <-s.stopAll:
			return
		}
	}
}

func (s *Store) keepOnce() {
	if err := s.space.measure(&s.opts); err != nil {
		s.log.Warn("cannot tell the free space", zap.Error(err))
	}
	s.inbox.signal() // there may be space again to go on
	if s.space.tooFullTo(finish) {
		s.recorded.send() // nothing is recorded now: nobody is to wait for it
	}
	if err := s.saveHighWater(); err != nil {
		s.log.Warn("cannot keep the high-water mark", zap.Error(err))
	}
	s.keeper.putOffOld(s)
	s.scrubIfDue()
	k := &s.keeper
	if seq := s.committed.Load().seq; seq != k.seen {
		k.seen, k.quiet = seq, 0
		return
	}
	k.quiet++
	worth := k.seen-k.flattened >= packsPerFlatten || s.retiring.bytes.Load() >= bytesPerFlatten
	if k.quiet >= quietRounds && worth {
		s.flatten()
	}
}

// putOffOld has the events recorded that were live at the last look too.
func (k *keeper) putOffOld(s *Store) {
	if k.rounds++; k.rounds < putOffRounds {
		return
	}
	k.rounds = 0
	if s.journal.liveBefore(k.age) && !s.space.tooFullTo(finish) {
		_ = s.inbox.put(&puttingOff{s, k.age}, false) // fails only with the store
	}
	s.journal.mu.Lock()
	k.age = s.journal.newest.successor()
	s.journal.mu.Unlock()
}

// flatten lets Badger merge its levels, which takes the tombstones of ended
// deliveries with it. It cannot be stopped, and holds up writers for long if
// they come back meanwhile, so it is for small stores; in large ones Badger
// rewrites table by table (LmaxCompaction).
func (s *Store) flatten() {
	k := &s.keeper
	if k.tidying != nil {
		select {
		case <-k.tidying:
		default:
			return // the one before is still under way
		}
	}
	k.flattened = k.seen
	s.retiring.bytes.Store(0)
	if size, _ := s.db.Size(); size > flattenLimit || s.space.free() < 3*flattenLimit {
		return
	}
	k.tidying = make(chan struct{})
	go func() {
		defer close(k.tidying)
		defer func() {
			if p := recover(); p != nil {
				s.panicked("tidying up", p)
			}
		}()
		s.merge()
	}()
}

// merge merges all levels.
func (s *Store) merge() {
	if err := s.db.Flatten(1); err != nil {
		s.log.Warn("cannot tidy up the store", zap.Error(err))
	}
}

// tidied waits until flatten is done, if it is under way.
func (s *Store) tidied() {
	if s.keeper.tidying != nil {
		<-s.keeper.tidying
	}
}

// saveHighWater writes the newest pack's number to its file if it has changed.
func (s *Store) saveHighWater() error {
	seq := s.committed.Load().seq
	if seq == s.keeper.saved || s.space.tooFullTo(finish) {
		return nil
	}
	if err := writeHighWater(s.opts.Dir, highWater{Pack: seq}); err != nil {
		return err
	}
	s.keeper.saved = seq
	return nil
}
