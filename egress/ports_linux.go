package egress

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListeningPorts returns the TCP ports that this process listens on, on any
// address. It asks the kernel about each descriptor of the process, so nothing
// is missed, whoever opened it: another app in Caddy, a plugin, a parent that
// passed a socket. The queries only read, so a descriptor that is closed and
// reused meanwhile does no harm.
func ListeningPorts() ([]uint16, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var ports []uint16
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			return nil, err
		}
		if listening, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); listening == 0 {
			continue // not a socket, not a listener, or closed by now
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			continue // closed by now
		}
		switch name := name.(type) {
		case *unix.SockaddrInet4:
			ports = append(ports, uint16(name.Port))
		case *unix.SockaddrInet6:
			ports = append(ports, uint16(name.Port))
		}
	}
	return ports, nil
}

// bindWithoutPort lets the kernel choose the local port when it connects and
// knows the peer. Else each source address would have some 28 000 ports in
// all, instead of as many for each receiver. A kernel that does not know the
// option does without.
func bindWithoutPort(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}
