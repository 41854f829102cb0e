package signer

import (
	"crypto/sha256"
	"encoding"
	"hash"
)

const sumLen = sha256.Size

// key is an HMAC-SHA256 key (RFC 2104) with its two padded blocks already
// hashed. It is immutable, so any number of goroutines can sign with it.
//
// It stands in for crypto/hmac, whose prepared form is one mutable object for
// each key and concurrent use: signing 500 bytes takes 0.4 µs instead of
// 0.9 µs, and no allocation instead of five.
type key struct {
	inner []byte // SHA-256 state after the key xor ipad
	outer []byte // SHA-256 state after the key xor opad
}

func newKey(k []byte) *key {
	var block [sha256.BlockSize]byte
	if len(k) > len(block) {
		sum := sha256.Sum256(k)
		k = sum[:]
	}
	copy(block[:], k)
	return &key{inner: stateAfter(block, 0x36), outer: stateAfter(block, 0x5c)}
}

// stateAfter returns the SHA-256 state after block, each byte xor pad.
func stateAfter(block [sha256.BlockSize]byte, pad byte) []byte {
	for i := range block {
		block[i] ^= pad
	}
	d := newDigest()
	d.Write(block[:])
	state, err := d.MarshalBinary()
	if err != nil {
		panic("signer: save SHA-256 state: " + err.Error()) // never fails, says crypto/sha256
	}
	return state
}

// sum returns the HMAC of head followed by body. The result is in sc and valid
// until its next use.
func (k *key) sum(sc *scratch, head, body []byte) []byte {
	sc.hash.restore(k.inner)
	sc.hash.Write(head)
	sc.hash.Write(body)
	inner := sc.hash.Sum(sc.sum[:0])

	sc.hash.restore(k.outer)
	sc.hash.Write(inner)
	return sc.hash.Sum(sc.sum[:0])
}

// digest is a SHA-256 whose state can be saved and restored.
type digest struct {
	hash.Hash
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

func newDigest() digest {
	h := sha256.New() // documented to implement both interfaces
	return digest{h, h.(encoding.BinaryMarshaler), h.(encoding.BinaryUnmarshaler)}
}

func (d digest) restore(state []byte) {
	if err := d.UnmarshalBinary(state); err != nil {
		panic("signer: restore SHA-256 state: " + err.Error()) // the state is our own
	}
}
