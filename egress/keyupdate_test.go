package egress_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// tls13 makes the records of a TLS 1.3 server with TLS_AES_128_GCM_SHA256, for
// what crypto/tls would not send.
type tls13 struct {
	aead     cipher.AEAD
	iv       []byte
	sequence uint64
}

// Types of records and messages (RFC 8446 sections 4 and 5.1).
const (
	handshakeRecord   = 22
	applicationRecord = 23
	keyUpdate         = 24
)

// newTLS13 takes over from a server whose handshake is done, by its key log.
func newTLS13(t *testing.T, keyLog string) *tls13 {
	t.Helper()
	for line := range strings.Lines(keyLog) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "SERVER_TRAFFIC_SECRET_0" {
			continue
		}
		secret, err := hex.DecodeString(fields[2])
		if err != nil {
			t.Error(err)
			return nil
		}
		block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
		if err != nil {
			t.Error(err)
			return nil
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Error(err)
			return nil
		}
		return &tls13{aead: aead, iv: expandLabel(t, secret, "iv", 12)}
	}
	t.Error("no traffic secret in the key log")
	return nil
}

// expandLabel is HKDF-Expand-Label without a context (RFC 8446 section 7.1).
func expandLabel(t *testing.T, secret []byte, label string, length int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(append(info, byte(len(label))), label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
	if err != nil {
		t.Error(err)
	}
	return out
}

func (s *tls13) record(kind byte, data []byte) []byte {
	inner := append(bytes.Clone(data), kind)
	head := binary.BigEndian.AppendUint16([]byte{applicationRecord, 3, 3}, uint16(len(inner)+s.aead.Overhead()))
	nonce := bytes.Clone(s.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, s.sequence) {
		nonce[4+i] ^= b
	}
	s.sequence++
	return s.aead.Seal(head, nonce, inner, head)
}

// A receiver that asks TLS for new keys makes it write while it reads. One that
// reads nothing could hold that up for ever, where no attempt's time runs yet.
func TestConnectionThatWantsToWriteWhileKeptIsNotUsed(t *testing.T) {
	certificate, cfg := tlsServer(t, nil)
	var conns atomic.Int32
	address := rawServer(t, func(c net.Conn) {
		conns.Add(1)
		var keyLog strings.Builder
		settings := &tls.Config{
			Certificates: certificate.TLS.Certificates, MinVersion: tls.VersionTLS13,
			SessionTicketsDisabled: true, KeyLogWriter: &keyLog,
		}
		server := tls.Server(c, settings)
		if _, ok := readRequest(server); !ok {
			return
		}
		s := newTLS13(t, keyLog.String())
		if s == nil {
			return
		}
		answer := s.record(applicationRecord, []byte(keepAlive))
		answer = append(answer, s.record(handshakeRecord, []byte{keyUpdate, 0, 0, 1, 1})...) // and asks for the same
		_, _ = c.Write(answer)                                                               // in one segment, so that TLS has read it all
		_, _ = c.Read(make([]byte, 1))                                                       // until the client goes
	})
	e := mustNew(t, cfg)
	for range 2 {
		if r := post(t, e, "https://"+address); r.status != 200 || r.trace.Reconnected {
			t.Errorf("got %d, %+v (%v); want 200 at once", r.status, r.trace, r.err)
		}
	}
	if got := conns.Load(); got != 2 {
		t.Errorf("%d connections, want 2: one that wants to write is not used again", got)
	}
}
