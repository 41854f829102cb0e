package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
)

func init() {
	caddy.RegisterModule(StoreBadger{})
}

// StoreBadger is the embedded store: a Badger database in a directory of a
// local file system (ext4 or xfs on Linux), used by one process at a time.
// Everything it acknowledged survives a crash and a loss of power.
type StoreBadger struct {
	// The directory. It is created when it is missing, for its owner only. A
	// relative one is taken from Caddy's working directory. A reload cannot
	// move what is stored: with another directory it opens another store.
	// Default: `webhook_gateway` in Caddy's data directory.
	Dir string `json:"dir,omitempty"`

	canonical string // Dir's one name, set by Provision
}

// CaddyModule returns the Caddy module information.
func (StoreBadger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  storeNamespace + ".badger",
		New: func() caddy.Module { return new(StoreBadger) },
	}
}

// UnmarshalCaddyfile sets up the store from:
//
//	badger {
//		dir <directory>
//	}
func (s *StoreBadger) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.once(d); err != nil {
			return err
		}
		if name := d.Val(); name != "dir" {
			return unrecognized(d, name)
		}
		if err := textArg(d, &s.Dir); err != nil {
			return err
		}
	}
	return nil
}

// Provision finds the directory. It opens and creates nothing.
func (s *StoreBadger) Provision(caddy.Context) error {
	dir := s.Dir
	if dir == "" {
		dir = filepath.Join(caddy.AppDataDir(), appName)
	}
	var err error
	if s.canonical, err = canonicalDir(dir); err != nil {
		return err
	}
	info, err := os.Stat(s.canonical)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("directory %s: %w", s.canonical, err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: choose another one with dir", s.canonical)
	}
	return nil
}

// StoreKey implements StoreOpener. It is the directory without symbolic links.
func (s *StoreBadger) StoreKey() string { return s.canonical }

// OpenStore implements StoreOpener.
func (s *StoreBadger) OpenStore(_ context.Context, o StoreOptions) (queue.Store, error) {
	return badgerstore.Open(badgerstore.Options{Dir: s.canonical, Logger: o.Logger, OnCommit: o.OnCommit})
}

// SecretsKeyFile implements KeyFiler. The file lies in the directory, so that it
// is moved and backed up with what it opens.
func (s *StoreBadger) SecretsKeyFile() string { return filepath.Join(s.canonical, "secrets_key") }

// Interface guards
var (
	_ caddy.Module          = (*StoreBadger)(nil)
	_ caddy.Provisioner     = (*StoreBadger)(nil)
	_ caddyfile.Unmarshaler = (*StoreBadger)(nil)
	_ StoreOpener           = (*StoreBadger)(nil)
	_ KeyFiler              = (*StoreBadger)(nil)
)
