//go:build !race

package filter_test

const slowdown = 1
