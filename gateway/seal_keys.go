package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tengineai/webhook-gateway/queue"
)

// sealKeys are the keys that settings name.
type sealKeys struct {
	primary  *sealKey // seals; nil: there is none
	previous *sealKey // opens what was sealed before a change of the key; may be nil
}

func (k sealKeys) has(id keyID) bool {
	return k.primary != nil && k.primary.id == id || k.previous != nil && k.previous.id == id
}

// canaryID is the id of the record that lists the keys in use.
const canaryID = "keys"

// canary is the data of that record. It has something sealed with each key that
// records may be sealed with: one key, or more while a change is under way. So
// a key can be told to be wrong before anything else is read.
type canary struct {
	Sealed [][]byte `json:"sealed"`

	version uint64 // of the record; zero: there is none
}

// adoptKeys returns the keys of settings and lets the vault open with them. It
// refuses keys that cannot open all that the store holds. A key is made and
// kept in Options.KeyFile if there is nothing sealed yet and no key is
// configured. The caller holds mu.
func (g *Gateway) adoptKeys(ctx context.Context, s *Settings) (sealKeys, error) {
	can, err := g.readCanary(ctx)
	if err != nil {
		return sealKeys{}, err
	}
	keys, err := g.keysOf(ctx, s, can)
	if err != nil || keys.primary == nil {
		return keys, err
	}
	target := g.resealing.target
	for _, sealed := range can.Sealed {
		if id, ok := sealedWith(sealed); !ok || !keys.has(id) {
			return keys, g.wrongKey(s, id, len(can.Sealed) > 1)
		}
	}
	if target != nil && !keys.has(target.id) {
		return keys, g.wrongKey(s, target.id, true)
	}
	if err := keys.check(can); err != nil {
		return keys, err
	}
	g.vault.learn(keys.primary, keys.previous)
	switch {
	case can.version == 0:
		if err := g.writeCanary(ctx, can, keys.primary); err != nil {
			return keys, err
		}
		g.vault.use(keys.primary)
	case target != nil: // the reload decides which key seals
	case can.lists(keys.primary.id):
		g.vault.use(keys.primary)
	default:
		g.vault.use(keys.previous)
	}
	return keys, nil
}

// lists says whether records may be sealed with the key.
func (c canary) lists(id keyID) bool {
	return slices.ContainsFunc(c.Sealed, func(sealed []byte) bool {
		listed, ok := sealedWith(sealed)
		return ok && listed == id
	})
}

// check opens what the canary holds.
func (k sealKeys) check(can canary) error {
	var v vault
	v.learn(k.primary, k.previous)
	for _, sealed := range can.Sealed {
		rec := canaryRecord()
		rec.Data = sealed
		if _, err := v.open(&rec); err != nil {
			return fmt.Errorf("secrets_key: the store's proof of the key: %w", err)
		}
	}
	return nil
}

// wrongKey says what to do about a key that is not among those of settings.
func (g *Gateway) wrongKey(s *Settings, id keyID, changing bool) error {
	switch {
	case changing:
		return fmt.Errorf("secrets_key: a change of the key has not ended, and the key with id %s is not configured: "+
			"give the new key and then the previous one until the log says that all secrets are sealed anew", id)
	case s.SecretsKey == "":
		return fmt.Errorf("the secrets in this store are sealed with another key (id %s) than the generated one in %s: "+
			"put that file back from a backup, or set secrets_key to the key the secrets were sealed with", id, g.keyFile)
	}
	return fmt.Errorf("secrets_key: the secrets in this store are sealed with another key (id %s): "+
		"set secrets_key to that one; to change the key, give the new one and then the previous one: secrets_key <new> <previous>; "+
		"a generated key is in the file %s", id, filepath.Base(g.keyFile))
}

// keysOf derives the keys that settings name.
func (g *Gateway) keysOf(ctx context.Context, s *Settings, can canary) (keys sealKeys, err error) {
	text := s.SecretsKey
	if text == "" {
		if text, err = g.generatedKey(ctx, can); err != nil || text == "" {
			return keys, err
		}
	}
	if keys.primary, err = newSealKey(text); err != nil {
		return keys, err
	}
	if s.PreviousSecretsKey != "" {
		keys.previous, err = newSealKey(s.PreviousSecretsKey)
	}
	return keys, err
}

// generatedKey returns the text of the generated key. It makes one only where
// nothing is sealed. Without Options.KeyFile there is none.
func (g *Gateway) generatedKey(ctx context.Context, can canary) (string, error) {
	if g.keyFile != "" {
		text, err := readKeyFile(g.keyFile)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
	}
	sealed, err := g.anythingSealed(ctx, can)
	switch {
	case err != nil:
		return "", err
	case sealed && g.keyFile == "":
		return "", errors.New("the secrets in this store are sealed: set secrets_key to the key they were sealed with")
	case sealed:
		return "", fmt.Errorf("the secrets in this store are sealed, but the file with the key, %s, is missing: "+
			"put it back from a backup, or set secrets_key to the key they were sealed with; no new key is made, for it could not open them", g.keyFile)
	case g.keyFile == "":
		return "", nil
	}
	return makeKeyFile(g.keyFile)
}

// anythingSealed says whether the store holds something that needs a key.
func (g *Gateway) anythingSealed(ctx context.Context, can canary) (bool, error) {
	if can.version != 0 {
		return true, nil
	}
	sealed := false
	err := eachRecord(ctx, g.store, queue.WebhookRecord, func(rec *queue.Record) error {
		sealed = sealed || isSealed(rec.Data)
		return nil
	}, nil)
	return sealed, err
}

func readKeyFile(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the generated secrets key: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if len(text) < generatedKeyLen {
		return "", fmt.Errorf("read the generated secrets key: %s is cut short: put it back from a backup", file)
	}
	return text, nil
}

const generatedKeyLen = 43 // base64 of 256 bits, without padding

// makeKeyFile makes a key and writes it where only its owner can read it. The
// file appears whole or not at all.
func makeKeyFile(file string) (string, error) {
	var secret [32]byte
	rand.Read(secret[:]) // never fails, says crypto/rand
	text := base64.RawURLEncoding.EncodeToString(secret[:])
	if err := writeKeyFile(file, text+"\n"); err != nil {
		return "", fmt.Errorf("write the generated secrets key: %w", err)
	}
	return text, nil
}

func writeKeyFile(file, text string) error {
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func canaryRecord() queue.Record { return queue.Record{Kind: queue.SealRecord, ID: canaryID} }

func (g *Gateway) readCanary(ctx context.Context) (canary, error) {
	var can canary
	rec, err := g.store.Record(ctx, queue.SealRecord, canaryID)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return can, nil
	case err != nil:
		return can, fmt.Errorf("read the proof of the secrets key: %w", err)
	}
	if err := json.Unmarshal(rec.Data, &can); err != nil {
		return can, fmt.Errorf("read the proof of the secrets key: %w", err)
	}
	can.version = rec.Version
	return can, nil
}

// writeCanary stores that records may be sealed with any of the keys, beside
// those that the canary has.
func (g *Gateway) writeCanary(ctx context.Context, can canary, keys ...*sealKey) error {
	for _, k := range keys {
		if !can.lists(k.id) {
			rec := canaryRecord()
			can.Sealed = append(can.Sealed, k.seal(&rec, []byte("webhook-gateway")))
		}
	}
	data, err := json.Marshal(can)
	if err != nil {
		return fmt.Errorf("write the proof of the secrets key: %w", err)
	}
	rec := canaryRecord()
	rec.Version, rec.Data = can.version, data
	if _, err := g.store.PutRecord(context.WithoutCancel(ctx), rec); err != nil { // a write that comes later would undo one of another key
		return fmt.Errorf("write the proof of the secrets key: %w", err)
	}
	return nil
}
