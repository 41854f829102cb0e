package steady

import (
	"strings"
	"testing"
)

func TestRequestsOfWhichItIsUncertainWhereTheyEnd(t *testing.T) {
	for header, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: x\r\n":                                                true,
		"POST / HTTP/1.1\r\nContent-Length: 12\r\n":                                    true,
		"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n":                            true,
		"GET / HTTP/1.0\r\nHost: x\r\n":                                                false,
		"PRI * HTTP/2.0\r\n":                                                           false,
		"CONNECT a:1 HTTP/1.1\r\n":                                                     false,
		"GET / HTTP/1.1\r\nHost: x\nX: y\r\n":                                          false,
		"GET / HTTP/1.1\nHost: x\r\n":                                                  false,
		"GET / HTTP/1.1\r\nHost: x\rX: y\r\n":                                          false,
		"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n":                                  false,
		"GET / HTTP/1.1\r\nContent-Length : 1\r\n":                                     false,
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n":                 false,
		"GET / HTTP/1.1\r\nContent-Length: +1\r\n":                                     false,
		"GET / HTTP/1.1\r\nContent-Length: 0x1\r\n":                                    false,
		"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n":        false,
		"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n":        false,
		"GET / HTTP/1.1\r\nno colon\r\n":                                               false,
		"\r\nGET / HTTP/1.1\r\n":                                                       false,
		"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999999999999999999\r\n": false,
	} {
		if _, sound := requestLength([]byte(header)); sound != want {
			t.Errorf("%q: sound is %v", header, sound)
		}
	}
}

func TestAnswerIsCompleteAtItsLastByte(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for text, want := range map[string]bool{
		head + "4\r\nsome\r\n0\r\n\r\n":                          true,
		head + "0\r\n\r\n":                                       true,
		head + "4\r\nsome\r\n0\r\nX: y\r\n\r\n":                  true,
		head + "5\r\n\r\n0\r\n\r\n":                              false, // data that looks like the end
		head + "4\r\nsome\r\n":                                   false,
		head + "4\r\nsome\r\n0\r\n\r\nmore":                      false,
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome":       true,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsome":       false,
		"HTTP/1.1 204 No Content\r\n\r\n":                        true,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n": true,
		"HTTP/1.1 200 OK\r\n\r\nuntil the end":                   false,
		"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nsome":       false,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n": false,
		"\x16\x03\x03 something else\r\n\r\n":                    false,
	} {
		from := strings.Index(text, "\r\n\r\n") + 4
		for at := from; at <= len(text); at++ {
			var d departure
			d.begin([]byte(text[:at]), false)
			d.add([]byte(text[at:]))
			if got := d.complete(); got != want {
				t.Errorf("%q, written up to %d at first: complete is %v", text, at, got)
			}
		}
	}
}
