package badgerstore

import (
	"encoding/binary"

	"github.com/tengineai/webhook-gateway/webhook"
)

// meta travels in every pack, so after a crash it says exactly what the last
// pack that survived had led to.
type meta struct {
	seq        uint64   // number of the pack, from 1
	lastKey    eventKey // the newest event's
	lowWater   eventKey // events before it have a record of each delivery
	nextNumber uint32   // of the next new webhook
	counts     counts
}

// counts holds numbers of deliveries by statusByte.
type counts [8]int64

func (c *counts) add(s webhook.Status, n int64) { c[statusByte(s)] += n }

func (m *meta) encode() []byte {
	b := make([]byte, 4, 128)
	b = binary.AppendUvarint(b, m.seq)
	b = append(b, m.lastKey[:]...)
	b = append(b, m.lowWater[:]...)
	b = binary.AppendUvarint(b, uint64(m.nextNumber))
	for _, n := range m.counts {
		b = binary.AppendUvarint(b, zigzag(n))
	}
	return seal(b, metaKey)
}

func decodeMeta(value []byte) (meta, error) {
	rest, err := unseal(value, metaKey)
	if err != nil {
		return meta{}, err
	}
	r := reader{rest: rest}
	var m meta
	m.seq = r.uint()
	copy(m.lastKey[:], r.take(12))
	copy(m.lowWater[:], r.take(12))
	m.nextNumber = uint32(r.uint())
	for i := range m.counts {
		m.counts[i] = unzigzag(r.uint())
	}
	return m, r.err
}
