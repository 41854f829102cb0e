//go:build !linux

package egress

import "syscall"

// ListeningPorts finds nothing here; Config.OwnPorts has to.
func ListeningPorts() ([]uint16, error) { return nil, nil }

// bindWithoutPort has no equivalent here.
func bindWithoutPort(syscall.RawConn) {}
