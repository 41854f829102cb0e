// Package egress is the way out: everything between a request that is ready to
// be sent and the network.
//
// It decides which local address an attempt leaves from, which addresses may
// be receivers, how connections are kept and reused, and what a failure on the
// way means. It speaks HTTP/1.1 over TCP and TLS, follows no redirect, keeps
// no cookie, and inflates nothing.
//
// Whoever may create a webhook chooses the host, so the host is hostile: it may
// be a name that resolves to this machine's admin API, or to a public address
// now and to a metadata service a moment later. What is checked is therefore
// the address that is about to be dialled, in the hook that runs between
// socket() and connect(); every earlier check exists for a good message only.
//
// # Reading the source
//
// config.go says what can be set, egress.go what comes of it, transport.go sends:
// request.go writes, exchange.go reads, pool.go keeps connections (conn.go). One is
// made in dial.go, after resolve.go has looked the name up, or by proxy.go.
// guard.go decides about its address, with machine.go and ports.go for what is
// this machine's own; host.go reads the host of a URL. outcome.go puts a name on
// what went wrong. url.go and headers.go judge what is saved with a webhook.
//
// What belongs elsewhere: what the request says (dispatch), when it is sent
// (dispatch), and which webhooks exist (gateway).
package egress
