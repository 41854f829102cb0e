//go:build !linux

package egress

import "syscall"

// listeningPorts finds nothing here; Config.OwnPort has to.
func listeningPorts() ([]uint16, error) { return nil, nil }

// bindWithoutPort has no equivalent here.
func bindWithoutPort(syscall.RawConn) {}
