package dispatch

// Remembered returns how many lanes and projects the Dispatcher knows.
func (d *Dispatcher) Remembered() (lanes, projects int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lanes), len(d.projects)
}

// LeftAside returns the projects that have lanes aside although none of theirs
// holds a worker or waits for one.
func (d *Dispatcher) LeftAside() (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.projects {
		if p.aside.len() > 0 && p.inflight == 0 && p.waiting.len() == 0 {
			ids = append(ids, p.id)
		}
	}
	return ids
}
