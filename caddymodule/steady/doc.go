// Package steady is a network for Caddy: TCP whose clients do not notice a reload.
// Plain HTTP sites with a handler of the gateway listen on it by themselves (Use);
// any other can be bound to it:
//
//	bind steady/127.0.0.1
//
// With "tcp" every reload opens a second socket and closes the first, which
// resets connections that the kernel has taken and Caddy has not; and it closes
// connections that are idle at that moment, also those on which a request is
// just arriving. Such requests get no answer and have to be sent again. With
// "steady" the configurations before and after a reload accept from one socket,
// and connections that the old one gives up go on to the new one.
//
// Connections with TLS are closed as with "tcp"; HTTP/2 has a way of its own to
// end them. The settings of the socket are those of the first configuration that
// listened on the address. docs/adr/0011-steady-network.md and
// docs/adr/0013-sites-are-steady.md say why it is like this.
//
// network.go is the socket that configurations share, conn.go a connection and
// when it may go over, framing.go what it knows of the requests and answers on it.
package steady
