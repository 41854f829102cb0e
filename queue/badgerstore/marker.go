package badgerstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Files in the directory, beside Badger's tables and logs.
const (
	manifestFile = "MANIFEST" // Badger's own: exists from the first start on

	cleanFile = "CLEAN"     // exists while the store is closed, if it was closed in order
	highFile  = "HIGHWATER" // the newest pack, as of about a second ago
	asideDir  = "unclean-"  // and a time: write-ahead logs as a crash left them
	asideKept = 2
)

// A highWater is what highFile holds. Badger drops all that follows a flipped
// bit in its log without a word; this is how we know.
type highWater struct {
	Pack uint64 `json:"pack"`
}

// readHighWater returns zero where there is no mark. With an error there is
// one that cannot be read.
func readHighWater(dir string) (highWater, error) {
	var hw highWater
	b, err := os.ReadFile(filepath.Join(dir, highFile))
	if errors.Is(err, fs.ErrNotExist) {
		return hw, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &hw)
	}
	return hw, err
}

func writeHighWater(dir string, hw highWater) error {
	b, err := json.Marshal(hw)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, highFile), append(b, '\n'))
}

// replaceFile puts a file in place of another, durably and in one step.
func replaceFile(name string, content []byte) error {
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// wasUnclean says whether the directory holds a store that was not closed in
// order, and removes the mark of one that was.
func wasUnclean(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, manifestFile)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err := os.Remove(filepath.Join(dir, cleanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, syncDir(dir)
}

// removeEmptyLogs removes write-ahead logs that Badger has emptied and was
// stopped before it could remove them: it would not open with them.
func removeEmptyLogs(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// setAside copies the write-ahead logs, because opening a damaged one cuts it
// off. The newest copies are kept.
func setAside(dir string, now time.Time) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(logs) == 0 {
		return err
	}
	to := filepath.Join(dir, asideDir+now.UTC().Format("20060102T150405.000000000"))
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, name := range logs {
		if err := copySparse(filepath.Join(to, filepath.Base(name)), name); err != nil {
			return err
		}
	}
	old, err := filepath.Glob(filepath.Join(dir, asideDir+"*"))
	if err != nil {
		return err
	}
	slices.Sort(old)
	for len(old) > asideKept {
		if err := os.RemoveAll(old[0]); err != nil {
			return err
		}
		old = old[1:]
	}
	return nil
}

// copySparse copies a file and leaves out the blocks of zeros that a log is
// filled up with.
func copySparse(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf := make([]byte, 64<<10)
	zeros := make([]byte, len(buf))
	var at int64
	for {
		at = nextData(in, at)
		n, readErr := io.ReadFull(io.NewSectionReader(in, at, int64(len(buf))), buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) {
			return out.Truncate(at)
		}
		if readErr != nil {
			return readErr
		}
	}
}
