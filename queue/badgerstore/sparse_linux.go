package badgerstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// nextData returns where the next part of a file begins that is no hole, from
// at on: at itself where the file system does not say.
func nextData(f *os.File, at int64) int64 {
	next, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) { // no more data
		if info, err := f.Stat(); err == nil {
			return max(info.Size(), at)
		}
	}
	if err != nil {
		return at
	}
	return next
}
