package badgerstore

import (
	"errors"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"go.uber.org/zap"
)

// Options say how to open a store. Only Dir is required.
type Options struct {
	// Dir is the directory. It is made, for its owner only, if it does not
	// exist. It must be on a local file system, and one process may have it
	// open. Required.
	Dir string

	// Logger is told what an operator should know. Default: none.
	Logger *zap.Logger

	// OnCommit is called after each transaction with the time it took and the
	// number of its entries. It must be quick. Default: none.
	OnCommit func(took time.Duration, entries int)

	// MemoryDeliveries and MemoryBytes bound the deliveries that wait in
	// memory for their first attempt; more are recorded on disk at once. The
	// bytes are of their events. Default: 50 000 and 32 MiB.
	MemoryDeliveries int
	MemoryBytes      int64

	// QueueBytes bounds the publications that wait to be stored; Publish refuses
	// with ErrBusy what would be more, unless nothing else waits. Default: 64 MiB.
	QueueBytes int64

	// PublishReserve is the free space, in bytes, below which Publish refuses
	// with ErrFull and Open with an error. Default: 256 MiB.
	PublishReserve int64

	// FinishReserve is the free space, in bytes, below which Finish refuses
	// too. Retire, which makes room, goes on to half of it. Default: half of
	// PublishReserve.
	FinishReserve int64

	// FreeSpace returns the bytes that are left for a directory; negative if
	// unknown. Default: what the file system says.
	FreeSpace func(dir string) (int64, error)
}

// hardFactor times the memory bounds is where publications have to wait.
const hardFactor = 4

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("no directory given")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.MemoryDeliveries <= 0 {
		o.MemoryDeliveries = 50_000
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 32 << 20
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 64 << 20
	}
	if o.PublishReserve <= 0 {
		o.PublishReserve = 256 << 20
	}
	if o.FinishReserve <= 0 {
		o.FinishReserve = o.PublishReserve / 2
	}
	if o.FreeSpace == nil {
		o.FreeSpace = freeSpace
	}
	return o, nil
}

// memTableSize is a compromise: a transaction may fill 15 % of it, the memory
// of an idle store is one of it, and the larger it is the less is compacted.
const memTableSize = 32 << 20

// badger returns the options for Badger (docs/adr/0006-store-layout.md).
func (o Options) badger() badger.Options {
	bo := badger.DefaultOptions(o.Dir).
		WithLogger(badgerLog{o.Logger.Named("badger").Sugar()}).
		WithSyncWrites(true).
		WithDetectConflicts(false). // there is one writer
		WithNumVersionsToKeep(1).
		WithMemTableSize(memTableSize).
		WithNumMemtables(3).
		WithBaseTableSize(8 << 20).
		WithBaseLevelSize(128 << 20).
		WithNumLevelZeroTables(10). // compaction in larger steps: with the defaults it takes a third of the time
		WithNumLevelZeroTablesStall(30).
		WithNumCompactors(3). // the third rewrites old tables of the last level (LmaxCompaction)
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithMetricsEnabled(false).
		WithValueLogFileSize(16 << 20) // it stays empty
	bo.LmaxCompaction = true
	return bo
}

// badgerLog passes on what Badger warns of; the rest is noise.
type badgerLog struct{ log *zap.SugaredLogger }

func (l badgerLog) Errorf(format string, args ...any)   { l.log.Errorf(format, args...) }
func (l badgerLog) Warningf(format string, args ...any) { l.log.Warnf(format, args...) }
func (l badgerLog) Infof(format string, args ...any)    { l.log.Debugf(format, args...) }
func (l badgerLog) Debugf(string, ...any)               {}
