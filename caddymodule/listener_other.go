//go:build !linux

package caddymodule

import "net"

// takeAll does nothing: a connection that arrives in the very moment when a
// listener is closed is reset.
func takeAll(net.Listener) {}
