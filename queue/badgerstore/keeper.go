package badgerstore

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// A keeper does what needs doing beside the calls: it watches the free space,
// keeps the high-water mark, and lets Badger tidy up when it is quiet.
type keeper struct {
	saved     uint64 // pack in the high-water mark
	seen      uint64 // newest pack at the last round
	quiet     int    // rounds without a pack
	flattened uint64 // newest pack when Badger last tidied up
}

const (
	keeperRound = time.Second

	// quietRounds without a commit are quiet time.
	quietRounds = 30

	// packsPerFlatten is how many packs make tidying up worth while.
	packsPerFlatten = 1000
)

// keep runs until stopAll is closed.
func (s *Store) keep() {
	defer s.running.Done()
	defer func() {
		if r := recover(); r != nil {
			s.fail(fmt.Errorf("keeper panicked: %v", r))
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
	if err := s.saveHighWater(); err != nil {
		s.log.Warn("cannot keep the high-water mark", zap.Error(err))
	}
	k := &s.keeper
	if seq := s.committed.Load().seq; seq != k.seen {
		k.seen, k.quiet = seq, 0
		return
	}
	if k.quiet++; k.quiet >= quietRounds && k.seen-k.flattened >= packsPerFlatten {
		s.flatten()
	}
}

// flatten lets Badger merge its levels, which is the only thing that takes
// the tombstones of ended deliveries from the last one.
func (s *Store) flatten() {
	start := time.Now()
	if err := s.db.Flatten(1); err != nil {
		s.log.Warn("cannot tidy up the store", zap.Error(err))
	}
	s.keeper.flattened = s.keeper.seen
	s.log.Debug("tidied up the store", zap.Duration("took", time.Since(start)))
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
