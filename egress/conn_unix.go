//go:build unix

package egress

import (
	"errors"
	"syscall"
)

// nothingWaits reports whether a socket is open and holds nothing to read.
func nothingWaits(raw syscall.RawConn) bool {
	var err error
	var one [1]byte
	readErr := raw.Read(func(fd uintptr) bool {
		_, _, err = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK) // the socket does not block
		return true
	})
	return readErr == nil && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR))
}
