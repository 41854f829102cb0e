package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// Context implements queue.Store.
func (s *Store) Context(_ context.Context, projectID string) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	value, known, generation := s.contexts.get(projectID)
	if known {
		return bytes.Clone(value), nil
	}
	err := s.db.View(func(txn *badger.Txn) error {
		var err error
		value, err = s.readContext(txn, projectID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("context of project %s: %w", projectID, err)
	}
	s.contexts.learn(projectID, value, generation)
	return bytes.Clone(value), nil
}

// readContext returns what is remembered of a project. What is damaged is
// forgotten: it is worth less than the events that would fail for it.
func (s *Store) readContext(txn *badger.Txn, projectID string) ([]byte, error) {
	key := keyOfContext(projectID)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []byte
	err = item.Value(func(v []byte) error {
		rest, err := unseal(v, key)
		if err != nil {
			s.log.Error("remembered project is damaged", zap.String("project_id", projectID))
			return nil //nolint:nilerr // nothing is remembered, then
		}
		out = append([]byte{}, rest...)
		return nil
	})
	return out, err
}

// remember writes what a publication says about its project, if that is new.
func (s *Store) remember(p *pack, pub *queue.Publication) {
	if pub.Remember == nil && !pub.Forget {
		return
	}
	project := pub.Event.ProjectID
	current, known := p.contexts[project]
	if !known {
		current, known, _ = s.contexts.get(project)
	}
	if !known {
		var err error
		if current, err = s.readContext(p.txn, project); err != nil && p.err == nil {
			p.err = err
		}
	}
	wanted := pub.Remember
	if pub.Forget {
		wanted = nil
	}
	if bytes.Equal(wanted, current) && (wanted == nil) == (current == nil) {
		return
	}
	key := keyOfContext(project)
	if wanted == nil {
		p.delete(key)
	} else {
		p.set(key, seal(append(make([]byte, 4, 4+len(wanted)), wanted...), key))
	}
	if p.contexts == nil {
		p.contexts = make(map[string][]byte)
	}
	p.contexts[project] = wanted
}

// A contextCache holds what is remembered of the projects in use, as far as
// it was committed. Its values are never changed.
type contextCache struct {
	mu         sync.RWMutex
	values     map[string][]byte // nil: nothing is remembered
	bytes      int
	generation uint64 // counts changes
}

const (
	maxContexts     = 4096
	maxContextBytes = 8 << 20
)

func (c *contextCache) get(project string) (value []byte, known bool, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	value, known = c.values[project]
	return value, known, c.generation
}

// own returns a slice with the content of value that nobody changes.
func (c *contextCache) own(project string, value []byte) []byte {
	if value == nil {
		return nil
	}
	if have, _, _ := c.get(project); bytes.Equal(have, value) && have != nil {
		return have
	}
	return append([]byte{}, value...)
}

// learn adds what was read from the disk, unless something was committed since
// the generation.
func (c *contextCache) learn(project string, value []byte, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation {
		c.put(project, value)
	}
}

// settle takes over what a pack has committed.
func (c *contextCache) settle(changed map[string][]byte) {
	if len(changed) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	for project, value := range changed {
		c.put(project, value)
	}
}

func (c *contextCache) put(project string, value []byte) {
	c.bytes -= len(c.values[project])
	delete(c.values, project)
	if c.values == nil || len(c.values) >= maxContexts || c.bytes+len(value) > maxContextBytes {
		c.values = make(map[string][]byte)
		c.bytes = 0
	}
	c.values[project] = value
	c.bytes += len(value)
}
