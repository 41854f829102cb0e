//go:build !unix || solaris

package caddymodule

import "syscall"

// sharePort does nothing: the system has nothing of the kind.
func sharePort(_, _ string, _ syscall.RawConn) error { return nil }
