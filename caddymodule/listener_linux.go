package caddymodule

import (
	"net"
	"reflect"
	"syscall"

	"golang.org/x/sys/unix"
)

// takeAll makes the kernel give all connections to the oldest of the sockets
// that listen on ln's address, ln, so that nothing is lost when a younger one is
// closed (SO_ATTACH_REUSEPORT_CBPF in socket(7)). Where that fails a connection
// that arrives in that very moment is reset.
func takeAll(ln net.Listener) {
	conn, ok := descriptor(ln)
	if !ok {
		return
	}
	first := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0} // the index of the oldest
	program := unix.SockFprog{Len: 1, Filter: &first}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &program)
	})
}

// descriptor returns the socket of a listener, also of one that Caddy has
// wrapped in a struct with the listener as its first field.
func descriptor(ln net.Listener) (syscall.RawConn, bool) {
	for {
		if socket, ok := ln.(syscall.Conn); ok {
			conn, err := socket.SyscallConn()
			return conn, err == nil
		}
		v := reflect.Indirect(reflect.ValueOf(ln))
		if v.Kind() != reflect.Struct || v.NumField() == 0 || !v.Field(0).CanInterface() {
			return nil, false
		}
		inner, ok := reflect.TypeAssert[net.Listener](v.Field(0))
		if !ok {
			return nil, false
		}
		ln = inner
	}
}
