//go:build !race

package queuetest

// raceDetector says whether the race detector is at work.
const raceDetector = false
