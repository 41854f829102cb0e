package badgerstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leakOptions...) }

// leakOptions name goroutines that Badger's libraries never end.
var leakOptions = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
	goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
}

func TestStoreKeepsContract(t *testing.T) {
	queuetest.Run(t, func(t testing.TB) queuetest.Opener {
		return &opener{TB: t, options: badgerstore.Options{Dir: t.TempDir()}}
	})
}

func TestStoreWithLittleMemoryKeepsContract(t *testing.T) {
	queuetest.RunLight(t, func(t testing.TB) queuetest.Opener {
		return &opener{TB: t, options: badgerstore.Options{Dir: t.TempDir(), MemoryDeliveries: 5}}
	})
}

// An opener opens a store, and crashes it by going on with a copy of its
// directory.
type opener struct {
	testing.TB
	options badgerstore.Options
}

func (o *opener) Open() (queue.Store, error) { return badgerstore.Open(o.options) }

func (o *opener) Crash(s queue.Store) (queue.Store, error) {
	copied := o.TempDir()
	copyDir(o, copied, o.options.Dir)
	if err := s.Close(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(o.options.Dir); err != nil {
		return nil, err
	}
	o.options.Dir = copied
	return badgerstore.Open(o.options)
}

// copyDir copies a store's directory as a kill of its process would leave it.
// If Badger changes its tables meanwhile it starts again.
func copyDir(t testing.TB, to, from string) {
	t.Helper()
	for {
		before := tables(t, from)
		for _, name := range before.names {
			copyFile(t, filepath.Join(to, name), filepath.Join(from, name))
		}
		if slices.Equal(before.names, tables(t, from).names) && before.manifest == tables(t, from).manifest {
			return
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

type listing struct {
	names    []string
	manifest int64 // size of Badger's list of tables, which only grows
}

// tables lists a store's files.
func tables(t testing.TB, dir string) listing {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var l listing
	for _, e := range entries {
		if e.IsDir() || e.Name() == "LOCK" || strings.HasPrefix(e.Name(), "HIGHWATER.") {
			continue
		}
		l.names = append(l.names, e.Name())
		if info, err := e.Info(); err == nil && e.Name() == "MANIFEST" {
			l.manifest = info.Size()
		}
	}
	return l
}

// copyFile copies what is not zero of a file; write-ahead logs are mostly hole.
func copyFile(t testing.TB, to, from string) {
	t.Helper()
	err := badgerstore.CopySparse(to, from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // Badger may just have replaced it
		t.Fatal(err)
	}
}
