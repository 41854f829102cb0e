package badgerstore

import "sync"

// An eventID is what tells events apart for producers.
type eventID struct{ project, id string }

// flights are the ids of publications that are not yet stored.
type flights struct {
	mu  sync.Mutex
	ids map[eventID]*flight
}

type flight struct {
	done chan struct{} // closed at the end; nil as long as nobody waits
}

// begin returns true if the id is the caller's to store, and false with the
// flight to wait for if it is somebody's already.
func (fs *flights) begin(id eventID) (own bool, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.ids[id]; f != nil {
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return false, f
	}
	if fs.ids == nil {
		fs.ids = make(map[eventID]*flight)
	}
	f = &flight{}
	fs.ids[id] = f
	return true, f
}

func (fs *flights) end(id eventID, f *flight) {
	if f == nil {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.ids[id] != f {
		return
	}
	delete(fs.ids, id)
	if f.done != nil {
		close(f.done)
	}
}
