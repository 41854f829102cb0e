//go:build unix && !solaris

package steady

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sharePort lets another socket listen on the same address.
func sharePort(_, _ string, conn syscall.RawConn) error {
	var err error
	if failed := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); failed != nil {
		return failed
	}
	return err
}
