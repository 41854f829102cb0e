package signer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a webhook-timestamp may be from the receiver's clock, in
// either direction.
const Tolerance = 5 * time.Minute

// What verification fails with.
var (
	// ErrNoSecret: every secret given is empty. Is the receiver configured?
	ErrNoSecret = errors.New("no secret to verify with")

	// ErrNoSignature: a header that the scheme needs is missing. The request is
	// not a delivery, its webhook has no secret, or a proxy dropped the header.
	ErrNoSignature = errors.New("missing header")

	// ErrMalformed: a signature header is there more than once, or is not of
	// the form that it has in a delivery.
	ErrMalformed = errors.New("malformed header")

	// ErrTooOld and ErrTooNew: the timestamp is over Tolerance away. The request
	// is a recorded one, or a clock is wrong.
	ErrTooOld = errors.New("timestamp too old")
	ErrTooNew = errors.New("timestamp in the future")

	// ErrMismatch: no signature belongs to any of the secrets and this body.
	ErrMismatch = errors.New("no signature matches: another secret, or not the body as it was received")
)

// VerifyRequest checks a delivery by its Standard Webhooks headers. Pass
// r.Header of an http.Request, the body exactly as it was read, and the
// receiver's secret; during a rotation, or always, the old and the new one.
// Empty secrets are ignored.
//
// Nil means: the body was signed with one of the secrets within Tolerance of
// now. It does not mean that the event is new. Repeats of an event are part of
// the contract; tell them by webhook-id, which is the event's id.
func VerifyRequest(header map[string][]string, body []byte, secrets ...string) error {
	s, err := FromHeader(header)
	if err != nil {
		return err
	}
	return VerifyStandard(time.Now(), s, body, secrets...)
}

// FromHeader reads the signature headers from an http.Header. It fails with
// ErrMalformed if one of them is there twice.
func FromHeader(header map[string][]string) (Signatures, error) {
	var s Signatures
	for _, f := range [...]struct {
		name string
		into *string
	}{
		{HeaderTengine, &s.Tengine},
		{HeaderTenginePrevious, &s.TenginePrevious},
		{HeaderTengineNext, &s.TengineNext},
		{HeaderID, &s.ID},
		{HeaderTimestamp, &s.Timestamp},
		{HeaderStandard, &s.Standard},
	} {
		values := textproto.MIMEHeader(header).Values(f.name)
		if len(values) > 1 {
			return Signatures{}, fmt.Errorf("%w: %s is there %d times", ErrMalformed, f.name, len(values))
		}
		if len(values) == 1 {
			*f.into = values[0]
		}
	}
	return s, nil
}

// VerifyStandard checks the Standard Webhooks signature of s at time now. It
// succeeds if the timestamp is within Tolerance and any v1 signature belongs to
// any of the secrets. Comparison takes the same time wherever the texts differ.
func VerifyStandard(now time.Time, s Signatures, body []byte, secrets ...string) error {
	for _, f := range [...]struct{ name, value string }{
		{HeaderID, s.ID}, {HeaderTimestamp, s.Timestamp}, {HeaderStandard, s.Standard},
	} {
		if f.value == "" {
			return fmt.Errorf("%w: %s", ErrNoSignature, f.name)
		}
	}
	// The signed text is "id.timestamp.body". An id with a dot could take a
	// part of another request's body for its timestamp.
	if strings.Contains(s.ID, ".") {
		return fmt.Errorf("%w: %s has a dot", ErrMalformed, HeaderID)
	}
	if err := checkTimestamp(now, s.Timestamp); err != nil {
		return err
	}
	head := s.ID + "." + s.Timestamp + "."
	return match(secrets, func(secret string) bool {
		want := standardPrefix + base64.StdEncoding.EncodeToString(sum(standardKey(secret), head, body))
		found := false
		for given := range strings.SplitSeq(s.Standard, " ") {
			found = hmac.Equal([]byte(given), []byte(want)) || found
		}
		return found
	})
}

// VerifyTengine checks x-tengine-signature, or the -previous or -next header of
// a rotation, against any of the secrets. This scheme has no timestamp: whoever
// has recorded a request can send it again. Prefer VerifyRequest.
func VerifyTengine(s Signatures, body []byte, secrets ...string) error {
	given := [...]string{s.Tengine, s.TenginePrevious, s.TengineNext}
	if given == [len(given)]string{} {
		return fmt.Errorf("%w: %s", ErrNoSignature, HeaderTengine)
	}
	return match(secrets, func(secret string) bool {
		want := tenginePrefix + hex.EncodeToString(sum([]byte(secret), "", body))
		found := false
		for _, g := range given {
			found = hmac.Equal([]byte(g), []byte(want)) || found
		}
		return found
	})
}

// match returns nil if valid holds for a secret that is not empty.
func match(secrets []string, valid func(secret string) bool) error {
	err := ErrNoSecret
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		if valid(secret) {
			return nil
		}
		err = ErrMismatch
	}
	return err
}

// checkTimestamp checks that text is Unix seconds within Tolerance of now.
// Digits only: what is signed is the text, not the number.
func checkTimestamp(now time.Time, text string) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || text[0] < '0' || text[0] > '9' {
		return fmt.Errorf("%w: %s is not a number of seconds", ErrMalformed, HeaderTimestamp)
	}
	age := now.Unix() - seconds
	switch tolerance := int64(Tolerance / time.Second); {
	case age > tolerance:
		return fmt.Errorf("%w: %d s", ErrTooOld, age)
	case age < -tolerance:
		return fmt.Errorf("%w: %d s", ErrTooNew, -age)
	}
	return nil
}

// sum is the HMAC-SHA256 of head and body, by the standard library: what
// verifies shares no code with what signs.
func sum(k []byte, head string, body []byte) []byte {
	h := hmac.New(sha256.New, k)
	h.Write([]byte(head))
	h.Write(body)
	return h.Sum(nil)
}
