package badgerstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// Values are sequences of unsigned varints, strings with a length before them,
// and times. Every record begins with a checksum over its key and the rest.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is why a value cannot be read.
var errDamaged = errors.New("stored value is damaged")

// checksum covers a value and the key it is stored under, so that a record
// that turns up under another key is found out too.
func checksum(value, key []byte) uint32 {
	return crc32.Update(crc32.Checksum(value, castagnoli), castagnoli, key)
}

// seal fills in the checksum that the first four bytes of b are kept for.
func seal(b, key []byte) []byte {
	binary.BigEndian.PutUint32(b, checksum(b[4:], key))
	return b
}

// unseal checks the checksum of b and returns what follows it.
func unseal(b, key []byte) ([]byte, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != checksum(b[4:], key) {
		return nil, errDamaged
	}
	return b[4:], nil
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendBytes tells nil from empty.
func appendBytes(b, s []byte) []byte {
	if s == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

// appendTime keeps nanoseconds and the zero time, but no location.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, zigzag(t.Unix())+1)
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// A reader takes a value apart. After the first thing that is not there all
// its methods return zero values, and err is set.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.err = nil, errDamaged
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.err = errDamaged
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// take returns the next n bytes, not copied.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.err = nil, errDamaged
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string() string { return string(r.take(r.uint())) }

// bytes returns a copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n == 0 {
		return nil
	}
	return append([]byte{}, r.take(n-1)...)
}

func (r *reader) time() time.Time {
	sec := r.uint()
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(unzigzag(sec-1), int64(r.uint())).UTC()
}
