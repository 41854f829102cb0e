package egress

import (
	"slices"
	"sync"
	"time"
)

// ListensOn reports whether this process has a TCP listener on port, at any
// address. It is safe for concurrent use and never misses a listener that was
// open when it was called. Known on Linux only; elsewhere it says no.
func ListensOn(port uint16) (bool, error) {
	ports, err := processPorts.now()
	return slices.Contains(ports, port), err
}

// processPorts is shared by all of the process, as its descriptors are.
var processPorts portList

// portList lists the ports of the process, once for all who wait together.
type portList struct {
	mu    sync.Mutex // held while listing
	began time.Time  // when the last listing began
	ports []uint16
}

// now returns a list that was begun after the call.
func (l *portList) now() ([]uint16, error) {
	asked := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began.Before(asked) {
		return l.ports, nil
	}
	began := time.Now()
	ports, err := listeningPorts()
	if err != nil {
		return nil, err
	}
	l.began, l.ports = began, ports
	return ports, nil
}
