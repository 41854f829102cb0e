package filter

// Empty says whether nothing is left in the index, not even empty places.
func (x *Index) Empty() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries) == 0 && len(x.projects) == 0
}

// KnownPrograms is how many programs Expr knows.
func KnownPrograms() int {
	e := Expr.(*exprEngine)
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.programs)
}
