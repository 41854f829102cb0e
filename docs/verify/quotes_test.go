package verify_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quoted matches a code block that says which file it shows.
var quoted = regexp.MustCompile("(?s)<!-- docs/verify/(\\S+) -->\n```[a-z]+\n(.*?)```\n")

func TestTheGuideShowsTheReceiversThatAreTested(t *testing.T) {
	guide, err := os.ReadFile("../receivers.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, block := range quoted.FindAllStringSubmatch(string(guide), -1) {
		name, code := block[1], block[2]
		shown[name] = true
		file, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("the guide shows %s: %v", name, err)
		} else if string(file) != code {
			t.Errorf("docs/receivers.md shows another %s than docs/verify has: copy the file into the block", name)
		}
	}
	for name := range receivers {
		if !shown[name] {
			t.Errorf("docs/receivers.md does not show %s", name)
		}
	}
}

// excerpt matches a code block that shows a part of a file.
var excerpt = regexp.MustCompile("(?s)\\(docs/verify/([^)]+)\\)\\):\n\n```[a-z]+\n(.*?)```\n")

func TestTheReadmeShowsPartsOfThem(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	excerpts := excerpt.FindAllStringSubmatch(string(readme), -1)
	if len(excerpts) != 3 {
		t.Errorf("README.md shows %d excerpts, want one each for Node, Python and Go", len(excerpts))
	}
	for _, e := range excerpts {
		name, code := e[1], e[2]
		file, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("README.md shows %s: %v", name, err)
		} else if !strings.Contains(string(file), code) {
			t.Errorf("README.md shows lines that docs/verify/%s does not have", name)
		}
	}
}

func TestEveryReceiverIsRun(t *testing.T) {
	for _, pattern := range []string{"*.mjs", "*.py", "*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if receivers[filepath.ToSlash(file)] == nil {
				t.Errorf("%s is not in the list of receivers", file)
			}
		}
	}
}
