package steady

import (
	"bytes"
	"strconv"
)

// This file follows the framing of HTTP/1.1, as far as a conn has to know
// where a request ends and whether its answer is complete.

// arrival is a request as far as it has arrived. It has to be read as net/http
// reads it; what could be read in another way is odd.
type arrival struct {
	bytes []byte // all of it, up to maxRequestKept
	got   int64
	size  int64 // header and body; 0: not known yet, or of a chunked one
	ended bool  // the header is there
	odd   bool
}

const (
	// maxRequestKept bounds what is kept of a request. net/http reads little more
	// than the header before it decides whether to serve it.
	maxRequestKept = 16 << 10

	// maxRequestReused bounds what an idle connection holds.
	maxRequestReused = 2 << 10
)

var endOfHeader = []byte("\r\n\r\n")

func (a *arrival) reset() {
	kept := a.bytes[:0]
	if cap(kept) > maxRequestReused {
		kept = nil
	}
	*a = arrival{bytes: kept}
}

func (a *arrival) add(b []byte) {
	if a.kept() {
		a.bytes = append(a.bytes, b[:min(len(b), maxRequestKept-len(a.bytes))]...)
	}
	before := a.got
	a.got += int64(len(b))
	if a.headed() {
		return
	}
	from := max(0, int(before)-len(endOfHeader)+1)
	end := bytes.Index(a.bytes[from:], endOfHeader)
	if end < 0 {
		a.odd = !a.kept()
		return
	}
	a.ended = true
	header := from + end + len(endOfHeader)
	length, sound := requestLength(a.bytes[:header-2])
	a.odd = !sound
	if length >= 0 {
		a.size = int64(header) + length
	}
}

// headed says whether a handler can begin with the request.
func (a *arrival) headed() bool { return a.ended || a.odd }

// kept says whether bytes has all that has arrived.
func (a *arrival) kept() bool { return a.got == int64(len(a.bytes)) }

// whole says whether the request has arrived, and nothing else.
func (a *arrival) whole() bool { return a.ended && !a.odd && a.size > 0 && a.got == a.size }

// excess says whether more has arrived than the request.
func (a *arrival) excess() bool { return a.size > 0 && a.got > a.size }

func (a *arrival) isHead() bool { return bytes.HasPrefix(a.bytes, []byte("HEAD ")) }

// requestLength returns the length of the body of a request with these lines; -1
// if it is chunked. Where there is any doubt it is not sound.
func requestLength(header []byte) (length int64, sound bool) {
	line, rest := cutLine(header)
	if !bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasPrefix(line, []byte("CONNECT ")) {
		return 0, false
	}
	told := false
	for sound = plain(line); sound && len(rest) > 0; sound = sound && plain(line) {
		line, rest = cutLine(rest)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
			return 0, false
		}
		switch {
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, ok := decimal(bytes.Trim(value, " \t"))
			if !ok || told || length < 0 {
				return 0, false
			}
			length, told = n, true
		}
	}
	return length, sound && !(told && length < 0)
}

// cutLine returns the first of the lines of a header, and the others.
func cutLine(header []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(header, []byte("\r\n"))
	return line, rest
}

// plain says whether a line is one for everybody.
func plain(line []byte) bool {
	return bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, '\r') < 0
}

func decimal(text []byte) (n int64, ok bool) {
	if len(text) == 0 || len(text) > 15 {
		return 0, false
	}
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		n = 10*n + int64(digit-'0')
	}
	return n, true
}

// departure is an answer as far as it was written. net/http writes a header that
// is not very long at once, with its names in their canonical form. The zero
// departure is complete: there was no answer before.
type departure struct {
	interim bool  // another answer follows
	last    bool  // the connection ends with it
	odd     bool  // it is none of HTTP/1.1, or it is unclear where it ends
	owed    int64 // what is missing of the body, or of a chunk and its line end
	chunked chunked
	part    []byte // of a line that is not whole yet
}

// chunked is where a chunked body stands.
type chunked int

const (
	isNot chunked = iota
	atSize
	inChunk
	inTrailer
	atEnd
)

func (d *departure) begin(b []byte, toHead bool) {
	*d = departure{}
	header, body, ended := bytes.Cut(b, endOfHeader)
	line, rest := cutLine(header)
	status, isHTTP := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	switch {
	case !isHTTP || !ended || bytes.HasPrefix(status, []byte("101")):
		d.odd = true
		return
	case bytes.HasPrefix(status, []byte("1")):
		d.interim = true
		return
	}
	bare := toHead || bytes.HasPrefix(status, []byte("204")) || bytes.HasPrefix(status, []byte("304"))
	framed := bare
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Connection":
			d.last = d.last || string(value) == "close"
		case "Content-Length":
			n, ok := decimal(value)
			if framed = framed || ok; !bare {
				d.owed = n
			}
		case "Transfer-Encoding":
			if framed = framed || string(value) == "chunked"; !bare {
				d.chunked = atSize
			}
		}
	}
	d.odd = !framed
	d.add(body)
}

func (d *departure) add(b []byte) {
	if d.chunked == isNot {
		d.owed -= int64(len(b))
		return
	}
	for len(b) > 0 && !d.odd {
		switch d.chunked {
		case inChunk:
			n := min(d.owed, int64(len(b)))
			b = b[n:]
			if d.owed -= n; d.owed == 0 {
				d.chunked = atSize
			}
		case atEnd:
			d.odd = true
		default:
			b = d.line(b)
		}
	}
}

// line reads the line of a chunk's size, or of the trailer.
func (d *departure) line(b []byte) (rest []byte) {
	if len(d.part) > 0 {
		b = append(d.part, b...)
		d.part = nil
	}
	line, rest, whole := bytes.Cut(b, []byte("\r\n"))
	if !whole {
		d.odd = len(b) > maxRequestReused
		d.part = bytes.Clone(b)
		return nil
	}
	if d.chunked == inTrailer {
		if len(line) == 0 {
			d.chunked = atEnd
		}
		return rest
	}
	size, err := strconv.ParseInt(string(line), 16, 62)
	switch {
	case err != nil || size < 0:
		d.odd = true
	case size == 0:
		d.chunked = inTrailer
	default:
		d.chunked, d.owed = inChunk, size+2
	}
	return rest
}

// complete says whether nothing is missing.
func (d *departure) complete() bool {
	return !d.odd && d.owed == 0 && (d.chunked == isNot || d.chunked == atEnd)
}
