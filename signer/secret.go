package signer

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of a signing secret (docs/contract.md section 3, Limits).
const (
	MinSecretLen = 16  // characters
	MaxSecretLen = 256 // characters

	// MinKeyLen is how many bytes a whsec_ secret has at least behind its
	// base64. It is the lower limit of Standard Webhooks 1.0.
	MinKeyLen = 24
)

// SecretPrefix marks a secret whose rest is base64 (Standard Webhooks 1.0).
const SecretPrefix = "whsec_"

// generatedKeyLen is more than the 32 bytes that RFC 2104 advises for
// HMAC-SHA256, and a multiple of three: no base64 padding to lose when copying.
const generatedKeyLen = 33

// Generate returns a new secret: "whsec_" and 44 characters of base64 that hold
// 264 random bits.
func Generate() string {
	var k [generatedKeyLen]byte
	rand.Read(k[:]) // never fails, says crypto/rand
	return SecretPrefix + base64.StdEncoding.EncodeToString(k[:])
}

// ValidSecret returns nil if value may be saved as a signing secret, else an
// error that says which rule it breaks. The error never holds the value.
func ValidSecret(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("the secret is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(value); n < MinSecretLen || n > MaxSecretLen {
		return fmt.Errorf("the secret has %d characters, it must have %d to %d", n, MinSecretLen, MaxSecretLen)
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return errors.New("the secret has a control character, such as a line break")
	}
	encoded, ok := strings.CutPrefix(value, SecretPrefix)
	if !ok {
		return nil
	}
	k, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return errors.New("the secret begins with whsec_, so the rest must be base64 (the standard alphabet, with padding)")
	}
	if len(k) < MinKeyLen {
		return fmt.Errorf("the secret begins with whsec_ and holds %d bytes, it must hold at least %d", len(k), MinKeyLen)
	}
	return nil
}

// Hint returns what may be shown of a secret, so that people can tell two
// apart: "…" and the last four characters, of a short secret fewer.
func Hint(value string) string {
	chars := []rune(value)
	shown := min(4, len(chars)/4)
	return "…" + string(chars[len(chars)-shown:])
}

// standardKey returns the Standard Webhooks key of a secret: the bytes behind
// "whsec_", or the secret's UTF-8 bytes if it has another form.
func standardKey(value string) []byte {
	encoded, ok := strings.CutPrefix(value, SecretPrefix)
	if !ok {
		return []byte(value)
	}
	k, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(k) == 0 { // ValidSecret refuses both
		return []byte(value)
	}
	return k
}
