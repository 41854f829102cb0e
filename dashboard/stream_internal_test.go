package dashboard

import (
	"fmt"
	"testing"
)

func TestOneVisitorLeavesStreamsToOthers(t *testing.T) {
	var s streams
	for i := range maxStreamsOfKind {
		if !s.begin("greedy") {
			t.Fatalf("stream %d is refused", i)
		}
	}
	if s.begin("greedy") {
		t.Error("one more of the visitor is open")
	}
	for i := range maxStreams - maxStreamsOfKind {
		if !s.begin(fmt.Sprint(i)) {
			t.Fatalf("stream %d of others is refused", i)
		}
	}
	if s.begin("quiet") {
		t.Error("one more of all is open")
	}
	s.end("greedy")
	if !s.begin("quiet") || s.begin("greedy") {
		t.Error("a place that is free again is not given to the next")
	}
}
