package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

// canonicalDir returns the one name of a directory that all its names have in
// common: absolute, without symbolic links. The directory need not exist, nor
// do its parents; nothing is created.
func canonicalDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("directory %s: %w", dir, err)
	}
	return resolveLinks(abs, maxLinks)
}

// resolveLinks resolves the symbolic links of an absolute path, as far as the
// path exists.
func resolveLinks(path string, linksLeft int) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil {
		return resolved, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("directory %s: %w", path, err)
	}
	if target, err := os.Readlink(path); err == nil { // a link to what does not exist yet
		if linksLeft == 0 {
			return "", fmt.Errorf("directory %s: too many symbolic links", path)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		return resolveLinks(filepath.Clean(target), linksLeft-1)
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	resolvedParent, err := resolveLinks(parent, linksLeft)
	if err != nil {
		return "", err
	}
	return filepath.Join(resolvedParent, filepath.Base(path)), nil
}
