package egress

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Request is what an attempt sends: a POST. It is not changed by sending it.
type Request struct {
	// URL is the receiver's, http or https.
	URL *url.URL

	// Header is sent in this order, after host and content-length, which must
	// not be in it. The caller sees to it that no name is there twice.
	Header []webhook.Header

	// Body is sent as it is.
	Body []byte
}

// errUnsendable means that the request would not be one HTTP request. It does
// not say why: the reason would quote a header.
var errUnsendable = errors.New("the request cannot be written")

// writtenAtOnce is the size in bytes up to which a request is written before the
// answer is awaited: so much the kernel takes, whether the receiver reads or not.
const writtenAtOnce = 16 << 10

// message is a request as it is written.
type message struct {
	first []byte
	rest  []byte // nil unless the request is larger than writtenAtOnce
}

var messages = sync.Pool{New: func() any { return new(message) }}

// newMessage returns what to write. Give it back by done.
func newMessage(r *Request) (*message, error) {
	m := messages.Get().(*message)
	head, err := r.appendHead(m.first[:0])
	if err != nil {
		return nil, err
	}
	m.first, m.rest = head, nil
	if len(head)+len(r.Body) > writtenAtOnce {
		m.rest = r.Body
	} else {
		m.first = append(head, r.Body...)
	}
	return m, nil
}

// done lets the memory of m be used again. A large message is left to the
// collector: it may still be on its way when its response is there.
func (m *message) done() {
	if m.rest == nil {
		messages.Put(m)
	}
}

// appendHead appends everything that precedes the body (RFC 9112 sections 3
// and 6). What was saved has been checked, but under the rules of its time:
// nothing that could begin a header or a request of its own gets through.
func (r *Request) appendHead(b []byte) ([]byte, error) {
	host, err := hostOf(r.URL)
	if err != nil {
		return nil, errUnsendable
	}
	b = append(b, "POST "...)
	b = appendTarget(b, r.URL)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.Body)), 10)
	for _, h := range r.Header {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			return nil, errUnsendable
		}
		b = append(b, "\r\n"...)
		b = append(b, h.Name...)
		b = append(b, ": "...)
		b = append(b, h.Value...)
	}
	return append(b, "\r\n\r\n"...), nil
}

// hostOf returns the host that a URL names, with its port, in the spelling that is
// looked up and verified if it is of another script.
func hostOf(u *url.URL) (string, error) {
	host := u.Host
	if !isASCII(host) {
		ascii, err := toASCII(u.Hostname())
		if err != nil {
			return "", err
		}
		host = ascii
		if port := u.Port(); port != "" {
			host += ":" + port
		}
	}
	if host == "" || !httpguts.ValidHostHeader(host) {
		return "", errUnsendable
	}
	return host, nil
}

// appendTarget appends path and query as they were written. What may not stand in
// a URL (RFC 3986 section 2) is escaped, so that nothing ends the target early.
func appendTarget(b []byte, u *url.URL) []byte {
	path := u.RawPath
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	b = appendEscaped(b, path)
	if u.RawQuery != "" || u.ForceQuery {
		b = append(b, '?')
		b = appendEscaped(b, u.RawQuery)
	}
	return b
}

func appendEscaped(b []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7F || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b = append(b, '%', hex[c>>4], hex[c&0xF])
		} else {
			b = append(b, c)
		}
	}
	return b
}
