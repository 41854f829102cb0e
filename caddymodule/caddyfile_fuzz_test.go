package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/caddymodule"
)

// FuzzCaddyfile adapts any webhook_gateway block. What is taken must be a
// configuration that reads back as it was written.
func FuzzCaddyfile(f *testing.F) {
	for _, dir := range []string{"adapt", "errors", "load"} {
		paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.caddytest"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			caddyfile, _, _ := strings.Cut(string(text), goldenSeparator)
			f.Add(caddyfile)
		}
	}
	f.Fuzz(func(t *testing.T, caddyfile string) {
		if strings.Contains(caddyfile, "import") {
			t.Skip("reads files")
		}
		config, err := adapt(caddyfile)
		if err != nil {
			return
		}
		var doc struct {
			Apps map[string]json.RawMessage `json:"apps"`
		}
		if err := json.Unmarshal(config, &doc); err != nil {
			t.Fatal(err)
		}
		adapted := doc.Apps["webhook_gateway"]
		if adapted == nil {
			return
		}
		var app caddymodule.App
		if err := caddy.StrictUnmarshalJSON(adapted, &app); err != nil {
			t.Fatalf("%s\n%v", adapted, err)
		}
		again, err := json.Marshal(&app)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := indent(t, again), indent(t, adapted); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}
