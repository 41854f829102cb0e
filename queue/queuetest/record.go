package queuetest

import (
	"errors"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/queue"
)

var _ = conform(
	testCase{name: "Records", run: testRecords},
	testCase{name: "RecordVersionsExclude", run: testRecordVersions},
)

func testRecords(b *bench) {
	put := func(id, project string) {
		b.Helper()
		v, err := b.store.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: id, ProjectID: project, Data: []byte("data of " + id)})
		if err != nil || v == 0 {
			b.Fatalf("PutRecord gave %d, %v", v, err)
		}
	}
	for i := range 9 {
		put(fmt.Sprintf("wh_%d", i), fmt.Sprintf("prj_%d", i%2))
	}
	_, err := b.store.PutRecord(background, queue.Record{Kind: queue.HealthRecord, ID: "wh_1", ProjectID: "prj_1"})
	b.must(err)
	b.must(b.store.DeleteRecord(background, queue.WebhookRecord, "wh_4"))
	b.must(b.store.DeleteRecord(background, queue.WebhookRecord, "wh_4"))
	b.must(b.store.DeleteRecord(background, queue.WebhookRecord, "wh_none"))
	for range 2 {
		for project, want := range map[string][]string{
			"":      {"wh_0", "wh_1", "wh_2", "wh_3", "wh_5", "wh_6", "wh_7", "wh_8"},
			"prj_0": {"wh_0", "wh_2", "wh_6", "wh_8"},
			"prj_1": {"wh_1", "wh_3", "wh_5", "wh_7"},
			"prj":   nil,
		} {
			var got []string
			for cursor := ""; ; {
				page, err := b.store.Records(background, queue.WebhookRecord, project, cursor, 2)
				b.must(err)
				for _, r := range page.Records {
					got = append(got, r.ID)
				}
				if page.Next == "" {
					break
				}
				cursor = page.Next
			}
			if diff := cmp.Diff(want, got); diff != "" {
				b.Errorf("records of %q differ (-want +got):\n%s", project, diff)
			}
		}
		r, err := b.store.Record(background, queue.WebhookRecord, "wh_3")
		b.must(err)
		if diff := cmp.Diff(queue.Record{Kind: queue.WebhookRecord, ID: "wh_3", ProjectID: "prj_1", Version: r.Version, Data: []byte("data of wh_3")}, r); diff != "" {
			b.Errorf("record differs (-want +got):\n%s", diff)
		}
		if _, err := b.store.Record(background, queue.WebhookRecord, "wh_4"); !errors.Is(err, queue.ErrNotFound) {
			b.Errorf("deleted record: %v, want ErrNotFound", err)
		}
		b.crash()
	}
	put("wh_4", "prj_0")
}

func testRecordVersions(b *bench) {
	rec := queue.Record{Kind: queue.WebhookRecord, ID: "wh_1", ProjectID: "prj_1", Data: []byte("1")}
	wrong := func(what string, version uint64) {
		b.Helper()
		r := rec
		r.Version = version
		if _, err := b.store.PutRecord(background, r); !errors.Is(err, queue.ErrVersion) {
			b.Errorf("%s: %v, want ErrVersion", what, err)
		}
	}
	wrong("new with a version", 1)
	v, err := b.store.PutRecord(background, rec)
	b.must(err)
	wrong("there already", 0)
	rec.Version, rec.Data = v, []byte("2")
	v2, err := b.store.PutRecord(background, rec)
	b.must(err)
	if v2 == v {
		b.Errorf("version stayed %d", v)
	}
	wrong("changed meanwhile", v)

	rec.Version = v2
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			_, err := b.store.PutRecord(background, rec)
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, queue.ErrVersion) {
			b.Error(err)
		}
	}
	if won != 1 {
		b.Errorf("%d of the same change took effect, want 1", won)
	}
}
