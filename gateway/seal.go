package gateway

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tengineai/webhook-gateway/queue"
)

// Records that hold secrets are sealed: the byte sealedV1, the id of the key,
// a random nonce, and the text encrypted with XChaCha20-Poly1305. Kind, id and
// project of the record are authenticated, so that nobody who can write to the
// store can pass one record off as another. Every other record is JSON and
// begins with another byte.
const sealedV1 = 1

const sealedHead = 1 + keyIDLen + chacha20poly1305.NonceSizeX

// keyID tells keys apart. It is derived from the key and gives nothing of it
// away.
type keyID [keyIDLen]byte

const keyIDLen = 4

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// sealKey is a key that seals records.
type sealKey struct {
	id     keyID
	aead   cipher.AEAD
	marker []byte // the key of what tells one secret from another, see staticVersion
}

// newSealKey derives a key from a text that holds enough randomness (HKDF,
// RFC 5869, with SHA-256).
func newSealKey(text string) (*sealKey, error) {
	derive := func(purpose string, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, []byte(text), nil, "webhook-gateway secrets_key v1 "+purpose, n)
	}
	secret, err := derive("key", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive secrets key: %w", err)
	}
	id, err := derive("id", keyIDLen)
	if err != nil {
		return nil, fmt.Errorf("derive secrets key: %w", err)
	}
	marker, err := derive("marker", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive secrets key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return nil, fmt.Errorf("derive secrets key: %w", err)
	}
	return &sealKey{id: keyID(id), aead: aead, marker: marker}, nil
}

// seal returns the data of rec, sealed.
func (k *sealKey) seal(rec *queue.Record, plain []byte) []byte {
	sealed := make([]byte, sealedHead, sealedHead+len(plain)+chacha20poly1305.Overhead)
	sealed[0] = sealedV1
	copy(sealed[1:], k.id[:])
	nonce := sealed[1+keyIDLen:]
	rand.Read(nonce) // never fails, says crypto/rand
	return k.aead.Seal(sealed, nonce, plain, identity(rec))
}

// identity is what is authenticated beside the data of a record.
func identity(rec *queue.Record) []byte {
	return []byte(string(rec.Kind) + "\x00" + rec.ID + "\x00" + rec.ProjectID)
}

// Errors of opening sealed data.
var (
	errSealKey = errors.New("sealed with a key that is not configured")
	errForged  = errors.New("sealed data was changed, or belongs to another record")
)

func isSealed(data []byte) bool { return len(data) > 0 && data[0] == sealedV1 }

// sealedWith returns the id of the key that sealed the data.
func sealedWith(data []byte) (keyID, bool) {
	if !isSealed(data) || len(data) < sealedHead {
		return keyID{}, false
	}
	return keyID(data[1 : 1+keyIDLen]), true
}

// vault seals records with the current key and opens those that any key it
// knows has sealed.
type vault struct {
	mu      sync.RWMutex
	current *sealKey // nil: there is no key, and nothing can be sealed
	known   map[keyID]*sealKey
}

// learn adds keys to open with. nil ones are left out.
func (v *vault) learn(keys ...*sealKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = make(map[keyID]*sealKey)
	}
	for _, k := range keys {
		if k != nil {
			v.known[k.id] = k
		}
	}
}

// use makes a key that was learnt the one that seals.
func (v *vault) use(k *sealKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current = k
}

// seal returns rec with its data sealed.
func (v *vault) seal(rec queue.Record) (queue.Record, error) {
	v.mu.RLock()
	k := v.current
	v.mu.RUnlock()
	if k == nil {
		return rec, errors.New("there is no key to seal secrets with: set secrets_key")
	}
	rec.Data = k.seal(&rec, rec.Data)
	return rec, nil
}

// open returns the data of a record in plain, as it is if it is not sealed.
func (v *vault) open(rec *queue.Record) ([]byte, error) {
	if !isSealed(rec.Data) {
		return rec.Data, nil
	}
	id, ok := sealedWith(rec.Data)
	if !ok {
		return nil, errForged
	}
	v.mu.RLock()
	k := v.known[id]
	v.mu.RUnlock()
	if k == nil {
		return nil, fmt.Errorf("%w (key id %s)", errSealKey, id)
	}
	nonce := rec.Data[1+keyIDLen : sealedHead]
	plain, err := k.aead.Open(nil, nonce, rec.Data[sealedHead:], identity(rec))
	if err != nil {
		return nil, errForged
	}
	return plain, nil
}
