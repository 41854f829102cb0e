package egress

import (
	"sync"
	"time"
)

// portList lists the ports of this process, once for all who wait together.
type portList struct {
	list func() ([]uint16, error)

	mu    sync.Mutex // held while listing; guards what follows
	began time.Time  // when the last listing began
	ports []uint16
}

// now returns a list that was begun after the call: nothing that listened
// before is missing from it.
func (l *portList) now() ([]uint16, error) {
	asked := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began.Before(asked) {
		return l.ports, nil
	}
	began := time.Now()
	ports, err := l.list()
	if err != nil {
		return nil, err
	}
	l.began, l.ports = began, ports
	return ports, nil
}
