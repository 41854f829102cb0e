package webhook

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/problem"
)

// appendNumber appends the text that JavaScript prints for the number raw. An
// integer literal must keep its value; of other numbers, digits beyond a
// double's precision are dropped.
func (c *canonicalizer) appendNumber(raw []byte) {
	integer := isInteger(raw)
	// Up to 15 digits and a sign every integer is exact and prints as itself.
	if integer && len(raw) <= 15 {
		if raw[0] == '-' && raw[1] == '0' {
			raw = raw[1:]
		}
		c.out = append(c.out, raw...)
		return
	}
	f, err := ParseNumber(raw)
	if err != nil { // the grammar was checked: it can only be the range
		c.refuseNumber(raw, problem.NumberOverflow, "The number is too large for a double (about 1.8e308).")
		return
	}
	if f == 0 {
		c.out = append(c.out, '0') // -0 too
		return
	}
	start := len(c.out)
	c.out = jsontext.AppendFloat(c.out, f, 64)
	if integer && !sameInteger(raw, c.out[start:]) {
		c.out = c.out[:start]
		c.refuseNumber(raw, problem.NumberNotExact, "JavaScript would change this integer; send it as a string.")
	}
}

// ParseNumber returns the double that JavaScript reads a JSON number as. Of one
// beyond all doubles it is an infinity, with an error.
func ParseNumber(raw []byte) (float64, error) {
	const most = 800 // digits before the point, beyond which strconv loses count of them
	if len(raw) > most {
		raw = pointFirst(raw)
	}
	return strconv.ParseFloat(string(raw), 64)
}

// pointFirst writes a number as 0.digits and an exponent, the first digit not
// being zero. strconv reads no more than five digits of an exponent; of a number
// like this they decide.
func pointFirst(raw []byte) []byte {
	const most = 1 << 30 // far beyond what any length of a number makes up for
	exponent := 0
	number := raw
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		number = raw[:i]
		exponent, _ = strconv.Atoi(string(raw[i+1:])) // out of range, it is the largest
		exponent = max(-most, min(exponent, most))
	}
	number, negative := bytes.CutPrefix(number, []byte("-"))
	whole, fraction, _ := bytes.Cut(number, []byte("."))
	digits := slices.Concat(whole, fraction)
	significant := bytes.TrimLeft(digits, "0")
	point := len(whole) - (len(digits) - len(significant)) + exponent

	out := make([]byte, 0, len(significant)+len("-0.e-1073741824"))
	if negative {
		out = append(out, '-')
	}
	out = append(append(out, "0."...), significant...)
	return strconv.AppendInt(append(out, 'e'), int64(point), 10)
}

// isInteger reports whether a number is written without "." and exponent.
func isInteger(raw []byte) bool {
	for _, b := range raw {
		if b == '.' || b|0x20 == 'e' {
			return false
		}
	}
	return true
}

// refuseNumber notes the problem, or keeps the number where that is allowed.
func (c *canonicalizer) refuseNumber(raw []byte, code problem.Code, detail string) {
	if !c.preserve {
		c.refuse(code, detail)
	}
	c.out = append(c.out, raw...)
}

// sameInteger reports whether an integer literal and the text printed for its
// double are the same number. From 1e21 on the text has an exponent.
func sameInteger(literal, text []byte) bool {
	if bytes.Equal(literal, text) {
		return true
	}
	mantissa, exponent, ok := bytes.Cut(text, []byte("e+"))
	if !ok {
		return false
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(bytes.Clone(whole), fraction...)
	zeros, err := strconv.Atoi(string(exponent))
	if err != nil || len(literal) != len(whole)+zeros {
		return false
	}
	return bytes.HasPrefix(literal, digits) && len(bytes.Trim(literal[len(digits):], "0")) == 0
}
