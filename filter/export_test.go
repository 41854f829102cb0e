package filter

// Empty says whether nothing is left in the index, not even empty places.
func (x *Index) Empty() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries) == 0 && len(x.projects) == 0
}
