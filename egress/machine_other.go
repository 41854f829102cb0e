//go:build !linux

package egress

import "syscall"

// ListensOn knows no listeners here; Config.OwnPort has to.
func ListensOn(uint16) (bool, error) { return false, nil }

// bindWithoutPort has no equivalent here.
func bindWithoutPort(syscall.RawConn) {}
