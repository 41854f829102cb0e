package dispatch

// Remembered returns how many lanes and projects the Dispatcher knows.
func (d *Dispatcher) Remembered() (lanes, projects int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lanes), len(d.projects)
}
