package signer

import (
	"encoding/base64"
	"encoding/hex"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// The names of the headers that Sign fills.
const (
	HeaderTengine         = "x-tengine-signature"
	HeaderTenginePrevious = "x-tengine-signature-previous"
	HeaderTengineNext     = "x-tengine-signature-next"
	HeaderID              = "webhook-id"
	HeaderTimestamp       = "webhook-timestamp"
	HeaderStandard        = "webhook-signature"
)

const (
	tenginePrefix  = "sha256="
	standardPrefix = "v1,"
)

// Signatures holds the signature headers of one attempt. An empty field is a
// header that is not sent.
type Signatures struct {
	Tengine         string // x-tengine-signature, by the primary secret
	TenginePrevious string // x-tengine-signature-previous, by the secret that is going
	TengineNext     string // x-tengine-signature-next, by the secret that is coming

	ID        string // webhook-id: the event id
	Timestamp string // webhook-timestamp: Unix seconds of the attempt
	Standard  string // webhook-signature: one signature for each live secret, separated by spaces
}

// Headers yields name and value of each header that is sent. Names are lower
// case, as in the contract.
func (s Signatures) Headers() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, h := range [...]struct{ name, value string }{
			{HeaderTengine, s.Tengine},
			{HeaderTenginePrevious, s.TenginePrevious},
			{HeaderTengineNext, s.TengineNext},
			{HeaderID, s.ID},
			{HeaderTimestamp, s.Timestamp},
			{HeaderStandard, s.Standard},
		} {
			if h.value != "" && !yield(h.name, h.value) {
				return
			}
		}
	}
}

// Signer holds the prepared secrets of one webhook. It never changes after New
// and is safe for concurrent use. The zero Signer signs nothing.
type Signer struct {
	primary  secret
	previous secret
	next     secret
}

// New prepares the secrets of a webhook. Make a Signer once and keep it: it
// costs a few SHA-256 blocks for each secret.
//
// A secret signs in the header that its role names. One without a role is the
// primary if there is none before it, else the previous one. Secrets with an
// empty value, and further ones of the same role, are left out.
func New(secrets []webhook.Secret) *Signer {
	var s Signer
	for _, ws := range secrets {
		if ws.Value == "" {
			continue
		}
		place := &s.primary
		switch {
		case ws.Role == webhook.SecretNext:
			place = &s.next
		case ws.Role == webhook.SecretPrevious, ws.Role == "" && s.primary.set():
			place = &s.previous
		}
		if !place.set() {
			*place = newSecret(ws)
		}
	}
	return &s
}

// Sign returns the signature headers for one attempt at now. ID and Timestamp
// are always set. Without a live secret they are all there is: nothing is ever
// signed with an empty key.
//
// Secrets are taken as they stand at now. A previous secret signs until it
// expires. A next secret becomes the primary, and the primary goes, once either
// of them expires. A primary without a successor signs whatever its expiry
// says: a clock alone must not leave deliveries unsigned.
func (s *Signer) Sign(now time.Time, eventID string, body []byte) Signatures {
	primary, previous, next := s.live(now)

	sc := scratchPool.Get().(*scratch)
	defer scratchPool.Put(sc)

	// All values are written one after another and cut from a single string.
	text := strconv.AppendInt(sc.text[:0], now.Unix(), 10)
	timestampLen := len(text)
	for _, k := range [...]secret{primary, previous, next} {
		if k.set() {
			text = append(text, tenginePrefix...)
			text = hex.AppendEncode(text, k.tengine.sum(sc, nil, body))
		}
	}
	standardAt := len(text)

	sc.head = append(sc.head[:0], eventID...)
	sc.head = append(sc.head, '.')
	sc.head = append(sc.head, text[:timestampLen]...)
	sc.head = append(sc.head, '.')
	for _, k := range [...]secret{primary, previous, next} {
		if k.set() {
			if len(text) > standardAt {
				text = append(text, ' ')
			}
			text = append(text, standardPrefix...)
			text = base64.StdEncoding.AppendEncode(text, k.standard.sum(sc, sc.head, body))
		}
	}
	sc.text = text

	rest := string(text)
	cut := func(n int) (part string) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	out := Signatures{ID: eventID, Timestamp: cut(timestampLen)}
	if primary.set() {
		out.Tengine = cut(tengineLen)
	}
	if previous.set() {
		out.TenginePrevious = cut(tengineLen)
	}
	if next.set() {
		out.TengineNext = cut(tengineLen)
	}
	out.Standard = rest
	return out
}

// live returns the secrets that sign at now, in the place they sign in.
func (s *Signer) live(now time.Time) (primary, previous, next secret) {
	primary, previous, next = s.primary, s.previous, s.next
	if previous.expired(now) {
		previous = secret{}
	}
	if next.set() && (!primary.set() || primary.expired(now) || next.expired(now)) {
		primary, next = next, secret{}
	}
	return primary, previous, next
}

// tengineLen is the length of an x-tengine-signature value.
const tengineLen = len(tenginePrefix) + 2*sumLen

// secret is a prepared webhook.Secret. The zero value is no secret.
type secret struct {
	tengine  *key
	standard *key
	until    time.Time // zero: no end
}

func newSecret(ws webhook.Secret) secret {
	return secret{
		tengine:  newKey([]byte(ws.Value)),
		standard: newKey(standardKey(ws.Value)),
		until:    ws.ExpiresAt,
	}
}

func (s secret) set() bool { return s.tengine != nil }

func (s secret) expired(now time.Time) bool {
	return !s.until.IsZero() && !now.Before(s.until)
}

// scratch is the working memory of one Sign.
type scratch struct {
	hash digest
	sum  [sumLen]byte
	head []byte // what precedes the body in the Standard Webhooks scheme
	text []byte
}

// scratchPool is shared by all Signers, so that a hundred thousand idle
// webhooks hold no working memory.
var scratchPool = sync.Pool{New: func() any { return &scratch{hash: newDigest()} }}
