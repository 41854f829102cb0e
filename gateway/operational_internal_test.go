package gateway

import (
	"fmt"
	"testing"
	"time"
)

func TestOneProjectDoesNotFillTheQueueOfOperationalEvents(t *testing.T) {
	o := newOperations(&Gateway{now: time.Now})
	for i := range 2 * operationsQueue {
		o.add(operationalEvent{webhookID: fmt.Sprint("wh_", i), projectID: "proj_1"})
	}
	o.add(operationalEvent{webhookID: "wh_a", projectID: "proj_2"})
	of := map[string]int{}
	for len(o.queue) > 0 {
		e := <-o.queue
		o.taken(e.projectID)
		of[e.projectID]++
	}
	if of["proj_1"] != operationsOfProject || of["proj_2"] != 1 {
		t.Errorf("the queue has %v", of)
	}
	if len(o.queued) != 0 {
		t.Errorf("%v is counted after all were taken", o.queued)
	}
}
