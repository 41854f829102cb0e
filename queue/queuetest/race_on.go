//go:build race

package queuetest

// raceDetector says whether the race detector is at work, which makes the
// largest cases ten times slower and finds nothing in them that it does not
// find in smaller ones.
const raceDetector = true
