package queuetest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestFaultyStoreFailsOnDemand(t *testing.T) {
	inner, err := badgerstore.Open(badgerstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := queuetest.Faulty(inner)
	defer s.Close()
	publish := func(id string) (known bool, err error) {
		rs, err := s.Publish(context.Background(), []queue.Publication{{Event: &webhook.Event{ID: id, Type: "a.b", ProjectID: "prj_1"}}})
		return err == nil && rs[0].Stored != nil, err
	}

	failure := errors.New("no")
	delayed := false
	s.Inject(func(method string) queuetest.Fault {
		if method != "Publish" {
			return queuetest.Fault{}
		}
		return queuetest.Fault{Err: failure, Before: func() { delayed = true }}
	})
	if _, err := publish("evt_1"); !errors.Is(err, failure) || !delayed {
		t.Errorf("Publish: %v, delayed is %v", err, delayed)
	}
	if _, err := s.Context(context.Background(), "prj_1"); err != nil {
		t.Errorf("another method: %v", err)
	}
	s.Inject(func(string) queuetest.Fault { return queuetest.Fault{Err: failure, Done: true} })
	if _, err := publish("evt_2"); !errors.Is(err, failure) {
		t.Errorf("Publish: %v", err)
	}
	s.Inject(nil)
	for id, want := range map[string]bool{"evt_1": false, "evt_2": true} {
		if known, err := publish(id); known != want || err != nil {
			t.Errorf("%s is known: %v, %v, want %v", id, known, err, want)
		}
	}
}
