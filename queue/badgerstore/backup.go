package badgerstore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// A backup is a line that names it, then the entries of the store in the order
// of their keys: each a key and a value with their lengths before them. An
// empty key ends them; the number of entries and a SHA-256 of all that precedes
// it follow. It is ours, not Badger's, because Badger's stream reads with
// several transactions, which are not of one moment.

const backupHead = "webhook-gateway backup 1\n"

// backupChunk is about how many bytes are read at a time.
const backupChunk = 256 << 10

// ErrBackup says that what is read is not a whole and undamaged backup.
var ErrBackup = errors.New("not a whole backup")

// Backup implements queue.Backuper. Bodies and contexts of events are written as
// they are.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := s.enter(); err != nil {
		return err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	chunks := make(chan []byte)
	read := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // so that Close need not wait for w
		defer s.life.RUnlock()
		defer close(chunks)
		read <- s.readAll(ctx, chunks)
	}()
	for chunk := range chunks {
		if _, err := out.Write(chunk); err != nil {
			return fmt.Errorf("back up store %s: %w", s.opts.Dir, err)
		}
	}
	err := <-read
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("back up store %s: %w", s.opts.Dir, err)
	}
	return nil
}

// readAll sends a backup, but for its sum, in chunks.
func (s *Store) readAll(ctx context.Context, chunks chan<- []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("database panicked: %v", p)
		}
	}()
	send := func(chunk []byte) error {
		select {
		case chunks <- chunk:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return queue.ErrClosed
		}
	}
	return s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		chunk, entries := []byte(backupHead), uint64(0)
		for it.Rewind(); it.Valid(); it.Next() {
			chunk = appendString(chunk, it.Item().Key())
			err := it.Item().Value(func(v []byte) error {
				chunk = appendString(chunk, v)
				return nil
			})
			if err != nil {
				return err
			}
			entries++
			if len(chunk) < backupChunk {
				continue
			}
			if err := send(chunk); err != nil {
				return err
			}
			chunk = make([]byte, 0, backupChunk+backupChunk/4)
		}
		return send(binary.AppendUvarint(append(chunk, 0), entries))
	})
}

// Restore makes a store of a backup. dir must not exist or be empty; it is
// there only when the whole backup has been read and was not damaged, else the
// error is ErrBackup or what reading or writing failed with.
func Restore(ctx context.Context, dir string, r io.Reader) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore store %s: %w", dir, err)
		}
	}()
	o, err := Options{Dir: filepath.Clean(dir) + ".restoring", Logger: zap.NewNop()}.withDefaults()
	if err != nil {
		return err
	}
	if err := removeEmpty(dir); err != nil {
		return err
	}
	switch err := os.Mkdir(o.Dir, 0o700); {
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("another restore is under way, or was interrupted; then remove %s", o.Dir)
	case err != nil:
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(o.Dir))
		}
	}()
	db, err := layDown(o.badger())
	if err != nil {
		return err
	}
	if err := errors.Join(restoreInto(ctx, db, r), db.Close()); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(o.Dir, cleanFile), []byte("restored\n")); err != nil {
		return err
	}
	if err := os.Rename(o.Dir, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// removeEmpty removes a directory if it is empty. There need not be one.
func removeEmpty(dir string) error {
	files, err := os.ReadDir(dir) // it fails for what is no directory, which Remove would remove
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(files) > 0:
		return errors.New("the directory is not empty; a backup is restored into a new or empty one")
	}
	return os.Remove(dir)
}

func restoreInto(ctx context.Context, db *badger.DB, r io.Reader) error {
	in := backupReader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	if string(in.take(len(backupHead))) != backupHead {
		return fmt.Errorf("%w: it does not begin as one", ErrBackup)
	}
	batch := db.NewWriteBatch()
	defer batch.Cancel()
	for entries := uint64(0); ; entries++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := in.string(1 << 16)
		if in.err != nil {
			return in.failure()
		}
		if len(key) == 0 {
			if n := in.uint(); in.err == nil && n != entries {
				return fmt.Errorf("%w: it has %d entries of %d", ErrBackup, entries, n)
			}
			break
		}
		value := in.string(maxValue + 1<<10)
		switch {
		case in.err != nil:
			return in.failure()
		case bytes.Equal(key, layoutKey) && !bytes.Equal(value, []byte{layoutVersion}):
			return fmt.Errorf("it was made by another version of the gateway, with layout %d and not %d", value, layoutVersion)
		case bytes.Equal(key, layoutKey):
			continue // it is there
		}
		if err := batch.Set(key, value); err != nil {
			return err
		}
	}
	want := in.sum.Sum(nil)
	if got := in.take(len(want)); in.err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum is wrong", ErrBackup)
	}
	switch _, err := in.in.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows its end", ErrBackup)
	case !errors.Is(err, io.EOF):
		return err
	}
	return batch.Flush()
}

// A backupReader takes a backup apart. After the first failure all its methods
// return zero values, and err is set.
type backupReader struct {
	in  *bufio.Reader
	sum hash.Hash
	err error
}

// failure tells the end of the file, and what cannot be, from other failures.
func (b *backupReader) failure() error {
	if errors.Is(b.err, io.EOF) || errors.Is(b.err, io.ErrUnexpectedEOF) || errors.Is(b.err, errDamaged) {
		return fmt.Errorf("%w: %w", ErrBackup, b.err)
	}
	return b.err
}

// ReadByte reads for binary.ReadUvarint.
func (b *backupReader) ReadByte() (byte, error) {
	c, err := b.in.ReadByte()
	if err == nil {
		_, _ = b.sum.Write([]byte{c})
	}
	return c, err
}

func (b *backupReader) uint() uint64 {
	if b.err != nil {
		return 0
	}
	var n uint64
	n, b.err = binary.ReadUvarint(b)
	return n
}

// string reads a string of at most limit bytes.
func (b *backupReader) string(limit uint64) []byte {
	n := b.uint()
	if n > limit && b.err == nil {
		b.err = errDamaged
	}
	return b.take(int(n))
}

func (b *backupReader) take(n int) []byte {
	if b.err != nil {
		return nil
	}
	p := make([]byte, n)
	if _, b.err = io.ReadFull(b.in, p); b.err != nil {
		return nil
	}
	_, _ = b.sum.Write(p)
	return p
}
