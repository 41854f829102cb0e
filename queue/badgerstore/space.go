package badgerstore

import (
	"fmt"
	"sync/atomic"

	"github.com/dustin/go-humanize"
)

// space guards the free space: Badger writes into memory-mapped sparse files,
// and where the disk is full that kills the process.
type space struct {
	last    atomic.Int64 // free bytes when last asked; negative if unknown
	written atomic.Int64 // bytes since then, with what compaction may need
	limits  [3]int64     // by purpose
}

// A purpose is what space is wanted for.
type purpose int

const (
	publish purpose = iota
	finish
	retire // which makes room in the end
)

// free estimates the free bytes now; negative if unknown.
func (sp *space) free() int64 {
	last := sp.last.Load()
	if last < 0 {
		return -1
	}
	return max(last-sp.written.Load(), 0)
}

func (sp *space) tooFullTo(p purpose) bool {
	free := sp.free()
	return free >= 0 && free < sp.limits[p]
}

// measure asks for the free space of a directory.
func (sp *space) measure(o *Options) error {
	n, err := o.FreeSpace(o.Dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", o.Dir, err)
	}
	sp.written.Store(0)
	sp.last.Store(n)
	return nil
}

// check is for the start: it says what to do if there is too little space.
func (sp *space) check(o *Options) error {
	sp.limits = [3]int64{publish: o.PublishReserve, finish: o.FinishReserve, retire: o.FinishReserve / 2}
	if err := sp.measure(o); err != nil {
		return err
	}
	if !sp.tooFullTo(publish) {
		return nil
	}
	return fmt.Errorf("only %s are free where %s is, and at least %s must be: make room or move the directory to a larger disk",
		humanize.IBytes(uint64(sp.free())), o.Dir, humanize.IBytes(uint64(o.PublishReserve)))
}
