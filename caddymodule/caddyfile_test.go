package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/caddymodule"
)

var update = flag.Bool("update", false, "write what the adapter gives into the golden files")

const goldenSeparator = "----------\n"

// TestCaddyfileAdapts adapts each testdata/adapt/*.caddytest: a Caddyfile, a
// line of dashes, and the JSON that it must become.
func TestCaddyfileAdapts(t *testing.T) {
	for _, g := range goldens(t, "adapt") {
		t.Run(g.name, func(t *testing.T) {
			got, err := adapt(g.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			g.compare(t, indent(t, got))
		})
	}
}

// TestCaddyfileErrors adapts each testdata/errors/*.caddytest: a Caddyfile, a
// line of dashes, and the whole error that it must give.
func TestCaddyfileErrors(t *testing.T) {
	for _, g := range goldens(t, "errors") {
		t.Run(g.name, func(t *testing.T) {
			got, err := adapt(g.caddyfile)
			if err == nil {
				t.Fatalf("no error, but\n%s", indent(t, got))
			}
			if !regexp.MustCompile(`Caddyfile:\d+`).MatchString(err.Error()) {
				t.Errorf("the error has no file and line: %v", err)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error repeats a secret: %v", err)
			}
			g.compare(t, err.Error()+"\n")
		})
	}
}

// TestLoadErrors checks each testdata/load/*.caddytest: a Caddyfile that can be
// read but not loaded, a line of dashes, and the error that loading gives.
func TestLoadErrors(t *testing.T) {
	t.Setenv("WGW_TEST_EMPTY", "")
	t.Setenv("WGW_TEST_SHORT", "hush-short")
	t.Setenv("WGW_TEST_OK", "a-text-that-is-long-enough-for-a-key")
	for _, g := range goldens(t, "load") {
		t.Run(g.name, func(t *testing.T) {
			config, err := adapt(g.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			err = validate(t, config)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error repeats a secret: %v", err)
			}
			g.compare(t, err.Error()+"\n")
		})
	}
}

// TestAdaptedConfigLoads validates what the Caddyfiles of testdata/adapt become.
func TestAdaptedConfigLoads(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("a-secret-of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("INGEST_KEY", "an-ingest-token-of-the-environment")
	t.Setenv("ERP_TOKEN", "erp-token")
	t.Setenv("ERP_SECRET", "an-erp-secret-of-the-environment")
	t.Setenv("ERP_OLD_SECRET", "an-old-erp-secret-of-the-environment")
	t.Setenv("WGW_KEY", strings.Repeat("k", 44))
	t.Setenv("WGW_NEW_KEY", strings.Repeat("n", 44))
	for _, g := range goldens(t, "adapt") {
		t.Run(g.name, func(t *testing.T) {
			config, err := adapt(strings.ReplaceAll(g.caddyfile, "/run/secrets/wgw_key", secretFile+"-long"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(secretFile+"-long", []byte(strings.Repeat("k", 44)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := validate(t, config); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestJSONSaysWhatTheCaddyfileSays reads the adapted JSON back into the
// configuration and writes it again: nothing may be lost.
func TestJSONSaysWhatTheCaddyfileSays(t *testing.T) {
	for _, g := range goldens(t, "adapt") {
		t.Run(g.name, func(t *testing.T) {
			config, err := adapt(g.caddyfile)
			if err != nil {
				t.Fatal(err)
			}
			var doc struct {
				Apps struct {
					Gateway json.RawMessage `json:"webhook_gateway"`
				} `json:"apps"`
			}
			if err := json.Unmarshal(config, &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Apps.Gateway == nil {
				t.Skip("no webhook_gateway in this file")
			}
			var app caddymodule.App
			if err := caddy.StrictUnmarshalJSON(doc.Apps.Gateway, &app); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(&app)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(indent(t, doc.Apps.Gateway), indent(t, again)); diff != "" {
				t.Errorf("(-adapted +read and written)\n%s", diff)
			}
		})
	}
}

// golden is one *.caddytest file.
type golden struct {
	name, path      string
	caddyfile, want string
}

func goldens(t *testing.T, dir string) []golden {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.caddytest"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files in testdata/%s: %v", dir, err)
	}
	var all []golden
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		caddyfile, want, ok := strings.Cut(string(text), goldenSeparator)
		if !ok {
			t.Fatalf("%s: no line of dashes", path)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".caddytest")
		all = append(all, golden{name, path, caddyfile, want})
	}
	return all
}

func (g golden) compare(t *testing.T, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(g.path, []byte(g.caddyfile+goldenSeparator+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(g.want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", g.path, diff)
	}
}

func adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// validate does what "caddy validate" does, with a data directory of its own.
func validate(t *testing.T, config []byte) error {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		return err
	}
	cfg.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}},
	}}
	return caddy.Validate(&cfg)
}

func indent(t *testing.T, doc []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, doc, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}
