package badgerstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// targets resolves webhook ids to lanes, which are made for new ones, and
// sorts by their numbers.
func (s *Store) targets(in []queue.Target) ([]target, error) {
	out := make([]target, len(in))
	var unknown []int
	for i := range in {
		switch st := in[i].Status; {
		case st != webhook.Pending && st != webhook.Skipped && st != webhook.FilterError:
			return nil, fmt.Errorf("a delivery cannot begin as %q", st)
		case in[i].WebhookID == "" || len(in[i].WebhookID) > maxID:
			return nil, errors.New("a webhook's id is empty or too long")
		}
	}
	s.lanesMu.RLock()
	for i := range in {
		out[i] = target{lane: s.lanes[in[i].WebhookID], status: in[i].Status}
		if reason := in[i].Reason; reason != "" && in[i].Status != webhook.Pending {
			out[i].reason = strings.Clone(cut(reason, maxReason))
		}
		if out[i].lane == nil {
			unknown = append(unknown, i)
		}
	}
	s.lanesMu.RUnlock()
	if len(unknown) > 0 {
		if err := s.newLanes(in, out, unknown); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b target) int { return int(int64(a.lane.number) - int64(b.lane.number)) })
	for i := 1; i < len(out); i++ {
		if out[i].lane == out[i-1].lane {
			return nil, fmt.Errorf("webhook %s is a target twice", out[i].lane.id)
		}
	}
	return out, nil
}

// cut returns the beginning of s, of at most n bytes and whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// newLanes makes lanes for webhooks that are seen for the first time. Their
// names are on the way to the disk before any event that refers to them.
func (s *Store) newLanes(in []queue.Target, out []target, unknown []int) error {
	s.lanesMu.Lock()
	defer s.lanesMu.Unlock()
	var fresh []*lane
	for _, i := range unknown {
		l := s.lanes[in[i].WebhookID]
		if l == nil {
			l = &lane{id: strings.Clone(in[i].WebhookID), number: s.next}
			s.next++
			s.lanes[l.id] = l
			s.numbers[l.number] = l
			fresh = append(fresh, l)
		}
		out[i].lane = l
	}
	for chunk := range slices.Chunk(fresh, 1000) {
		if err := s.inbox.put(&naming{chunk}, true); err != nil {
			return err
		}
	}
	return nil
}

// A naming is the request that stores the names of new lanes.
type naming struct{ lanes []*lane }

func (r *naming) weight() (int, int64) {
	bytes := 0
	for _, l := range r.lanes {
		bytes += len(l.id) + 16
	}
	return len(r.lanes), int64(bytes)
}

func (r *naming) write(p *pack) error {
	for _, l := range r.lanes {
		if l.dropped {
			continue // before it was named
		}
		p.set(keyOfName(l.number), []byte(l.id))
		p.meta.nextNumber = max(p.meta.nextNumber, l.number+1)
	}
	return nil
}

func (r *naming) apply(*pack) {}
func (r *naming) done(error)  {}
