//go:build !unix || solaris

package steady

import "syscall"

// sharePort does nothing: the system has nothing of the kind.
func sharePort(_, _ string, _ syscall.RawConn) error { return nil }
