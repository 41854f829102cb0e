package caddymodule_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestEveryConfigFieldIsDocumented keeps the reference: the doc comments of
// exported fields with a JSON name are what caddyserver.com shows.
func TestEveryConfigFieldIsDocumented(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	snake := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	fields := 0
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil || len(field.Names) == 0 || !field.Names[0].IsExported() {
				return true
			}
			name, option, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
			if option != "omitempty" && option != "omitzero" {
				return true // part of an answer, not of a configuration
			}
			fields++
			if !snake.MatchString(name) {
				t.Errorf("%s: field %s has the JSON name %q", source, field.Names[0], name)
			}
			if !strings.HasPrefix(source, "config") && !strings.HasPrefix(source, "store_") && !strings.HasPrefix(source, "filter_") {
				return true
			}
			doc := strings.TrimSpace(field.Doc.Text())
			if len(doc) < 20 || !strings.HasSuffix(doc, ".") {
				t.Errorf("%s: field %s needs a doc comment in full sentences", source, field.Names[0])
			}
			return true
		})
	}
	if fields < 40 {
		t.Errorf("only %d fields were found", fields)
	}
}

// TestValidateLeavesNothingBehind runs what "caddy validate" runs and looks at
// the disk.
func TestValidateLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	config, err := adapt(`{
	webhook_gateway {
		store badger {
			dir ` + filepath.Join(dir, "a", "store") + `
		}
		api_key ci {env.WGW_TEST_TOKEN}
		webhook a {
			project p
			url https://example.com/
			events *
			filter ` + "`data.n == 1`" + `
			secret {env.WGW_TEST_TOKEN}
		}
	}
}
:0 {
	webhook_ingest /events
}
`)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("WGW_TEST_TOKEN", "a-token-and-a-secret")
	for range 2 { // a second time beside what the first may have left
		if err := validate(t, config); err != nil {
			t.Fatal(err)
		}
	}
	for _, root := range []string{dir, os.Getenv("XDG_DATA_HOME"), os.Getenv("XDG_CONFIG_HOME")} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if path != root {
				t.Errorf("left behind: %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestResolvedSecretsStayOut adapts and validates a configuration whose
// placeholders stand for canaries, and looks for them in everything visible.
func TestResolvedSecretsStayOut(t *testing.T) {
	const canary = "canary-canary-canary-canary-canary-canary"
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WGW_CANARY", canary)
	caddyfile := `{
	webhook_gateway {
		secrets_key {file.` + file + `}
		api_key a {env.WGW_CANARY}
		webhook a {
			project p
			url https://example.com/
			events *
			header Authorization "Bearer {env.WGW_CANARY}"
			secret {env.WGW_CANARY} {file.` + file + `}
		}
	}
}
`
	config, err := adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(config), canary) {
		t.Error("the adapted JSON holds a secret")
	}
	// Both secrets are equal, so validation fails: with an error that must not
	// hold them either.
	err = validate(t, config)
	if err == nil || !strings.Contains(err.Error(), "must differ") {
		t.Fatalf("got %v, want the error about equal secrets", err)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("the error holds a secret: %v", err)
	}
}
