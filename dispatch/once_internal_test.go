package dispatch

import (
	"fmt"
	"testing"
)

func TestAProjectLeavesAttemptsByHandToOthers(t *testing.T) {
	var h byHand
	for i := range maxProjectOnce {
		if !h.add("proj_1") {
			t.Fatalf("attempt %d is refused", i)
		}
	}
	if h.add("proj_1") {
		t.Error("one more of the project is taken")
	}
	for i := range maxOnce - maxProjectOnce {
		if !h.add(fmt.Sprint("proj_x", i)) {
			t.Fatalf("attempt %d of others is refused", i)
		}
	}
	if h.add("proj_2") {
		t.Error("one more of all is taken")
	}
	h.remove("proj_1")
	if !h.add("proj_2") || h.add("proj_1") || len(h.ofProject) != 1+maxOnce-maxProjectOnce+1 {
		t.Errorf("after one has ended: %d of %d projects", h.all, len(h.ofProject))
	}
}
