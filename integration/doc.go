// Package integration tests the gateway from outside: the built binary, real
// sockets, real receivers, and what happens when the process is killed. It has
// no code of its own; gatewaytest runs the gateway, node runs receivers in Node.
package integration
