//go:build !unix

package badgerstore

// freeSpace does not know the free space on this system.
func freeSpace(string) (int64, error) { return -1, nil }
