package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Phase is a stage of an attempt, in the order they are passed through.
type Phase int32

const (
	PhaseStart    Phase = iota // nothing was sent to anybody
	PhaseResolve               // looking the receiver's name up
	PhaseProxy                 // connecting to the proxy
	PhaseTunnel                // waiting for the proxy to reach the receiver
	PhaseConnect               // connecting to the receiver
	PhaseTLS                   // shaking hands with it
	PhaseRequest               // sending the request and waiting for an answer
	PhaseResponse              // reading the response headers
	PhaseDone                  // the response headers are complete
)

var phaseNames = [...]string{
	"start", "resolve", "proxy", "tunnel", "connect", "tls", "request", "response", "done",
}

// String returns the phase in one lower-case word.
func (p Phase) String() string {
	if p < 0 || int(p) >= len(phaseNames) {
		return "unknown"
	}
	return phaseNames[p]
}

// Error is why an attempt failed.
type Error struct {
	// Outcome is the kind of failure.
	Outcome webhook.Outcome

	// Text says it to the receiver's owner in plain words. It tells nothing of
	// this machine's network: of an address that is not public it says neither
	// whether a port is open nor what listens there.
	Text string

	// GatewayFault means that this machine, its name servers, its proxy or a
	// shutdown is the reason, so that the attempt must not count.
	GatewayFault bool

	// Phase is how far the attempt got.
	Phase Phase

	cause error // for the operator; holds no secret and nothing a receiver sent
}

// Error implements error, for the operator's log.
func (e *Error) Error() string {
	text := "send: " + e.Phase.String() + ": " + e.Text
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.cause }

// Classify returns what an error of Send, or of reading a response, means:
// the outcome, a text for the receiver's owner, and whether it is a fault of
// the gateway, which uses up no attempt. A nil error is a success.
func Classify(err error) (outcome webhook.Outcome, text string, gatewayFault bool) {
	if err == nil {
		return webhook.Success, "", false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome, e.Text, e.GatewayFault
	}
	switch {
	case errors.Is(err, context.Canceled):
		return webhook.Timeout, textStopped, true
	case errors.Is(err, context.DeadlineExceeded):
		return webhook.Timeout, textTimeout, false
	}
	return webhook.Reset, textReset, false
}

const (
	textStopped = "the gateway stopped while sending"
	textTimeout = "no response headers within the timeout"
	textReset   = "the connection broke before the response headers were complete"
	textBlocked = "the receiver's address is not allowed"
	textConnect = "no connection could be made"
	textTLS     = "the TLS handshake failed"
	textUnable  = "the gateway could not send"
)

// failure classifies the error that ended a.
func (a *attempt) failure(err error, names *resolver) *Error {
	if a.Err() != nil || isDeadline(err) {
		return a.cutShort(err, names)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Phase == PhaseStart {
			e.Phase = a.current()
		}
		return e
	}
	e := &Error{Phase: a.current(), cause: err}
	switch {
	case errors.Is(err, errUnsendable):
		e.Outcome, e.Text = webhook.Panicked, "the request could not be built"
	case errors.Is(err, errHeadersTooLarge):
		e.Outcome, e.Text = webhook.HeadersTooLarge, "the response headers are over 64 KiB"
	case isTLS(err):
		e.Outcome, e.Text = webhook.TLS, textTLS
	case !a.answered || isBroken(err):
		e.Outcome, e.Text = webhook.Reset, textReset
	default:
		e.Outcome, e.Text = webhook.BadResponse, "the response is not valid HTTP"
		e.cause = nil // quotes what the receiver sent, which may quote the request
	}
	return e
}

// isDeadline reports whether a deadline ended an operation. That of a socket
// may be noticed a moment before the context's, which is the same.
func isDeadline(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// cutShort classifies an attempt whose context ended.
func (a *attempt) cutShort(err error, names *resolver) *Error {
	phase := a.current()
	e := &Error{Outcome: webhook.Timeout, Text: textTimeout, Phase: phase, cause: context.Cause(a)}
	if errors.Is(a.Err(), context.Canceled) {
		e.Text, e.GatewayFault = textStopped, true
		return e
	}
	// A name that resolves slowly is the receiver's, silent name servers are
	// ours. A proxy that cannot be reached is ours, a receiver that the proxy
	// cannot reach is not.
	switch {
	case phase == PhaseResolve && names.serversDown(a.lookupSince):
		return a.dnsError(errors.Join(errNameServers, err))
	case phase == PhaseProxy:
		return a.proxyError(errors.Join(errProxy, err))
	case !a.isInternal():
		e.Text += timeoutDetails[phase]
	}
	return e
}

var timeoutDetails = map[Phase]string{
	PhaseResolve:  ": looking up the name took too long",
	PhaseTunnel:   ": connecting took too long",
	PhaseConnect:  ": connecting took too long",
	PhaseTLS:      ": the TLS handshake took too long",
	PhaseRequest:  ": the request was sent, no answer came",
	PhaseResponse: ": the response headers were not complete",
}

func (a *attempt) isInternal() bool {
	return a.internal.Load() || a.conn != nil && a.conn.internal
}

func (a *attempt) blocked(cause error) *Error {
	return &Error{Outcome: webhook.BlockedAddress, Text: textBlocked, Phase: PhaseConnect, cause: cause}
}

func (a *attempt) noFamily() *Error {
	return &Error{
		Outcome: webhook.NoAddressFamily,
		Text:    "the receiver has no address of an IP family that deliveries leave from",
		Phase:   PhaseConnect,
	}
}

func (a *attempt) dnsError(err error) *Error {
	e := &Error{Outcome: webhook.DNS, Text: "the receiver's name could not be resolved", Phase: PhaseResolve, cause: err}
	dnsErr, ok := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, errNameServers):
		e.Text, e.GatewayFault = textUnable, true
	case ok && dnsErr.IsNotFound:
		e.Text = "the receiver's name has no address"
	}
	return e
}

// localFaults are errors of this machine: a source address that is gone, no
// ports, descriptors or memory left, a network that is down.
var localFaults = []error{
	syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETDOWN,
	errMachineUnknown,
}

func (a *attempt) connectError(err error, internal bool) *Error {
	if isBlocked(err) {
		return a.blocked(err)
	}
	e := &Error{Outcome: webhook.Connect, Text: textConnect, Phase: PhaseConnect, cause: err}
	for _, fault := range localFaults {
		if errors.Is(err, fault) {
			e.Text, e.GatewayFault = textUnable, true
			return e
		}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok && !internal {
		e.Text += ": " + errno.Error()
	}
	return e
}

// isUnroutable reports whether the kernel found no way to an address, as it
// does for IPv6 on a machine that has IPv4 only.
func isUnroutable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.EAFNOSUPPORT)
}

func (a *attempt) proxyError(err error) *Error {
	e := &Error{Outcome: webhook.Proxy, Text: "the proxy could not reach the receiver", Phase: PhaseTunnel, cause: err}
	if errors.Is(err, errProxy) {
		e.Text, e.GatewayFault = textUnable, true
	}
	return e
}

func (a *attempt) tlsError(err error, c *conn) *Error {
	e := &Error{Outcome: webhook.TLS, Text: textTLS, Phase: PhaseTLS, cause: err}
	if c != nil && c.internal {
		return e
	}
	if detail := certificateDetail(err); detail != "" {
		e.Text = "the receiver's certificate " + detail
	}
	return e
}

func certificateDetail(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "is not signed by a known authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "is not valid for the name in the URL"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "has expired or is not valid yet"
		}
		return "is not valid"
	}
	return ""
}

// isTLS reports whether the receiver ended the TLS session with an alert, for
// example because it wants a client certificate.
func isTLS(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

func isBroken(err error) bool {
	if _, network := errors.AsType[*net.OpError](err); network {
		return true
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}
