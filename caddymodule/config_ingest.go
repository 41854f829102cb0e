package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/tengineai/webhook-gateway/webhook"
)

func init() {
	caddy.RegisterModule(Ingest{})
}

// Ingest is the HTTP handler that takes events, as one JSON object, as a batch
// (a JSON array or newline-delimited JSON) or as CloudEvents 1.0. It answers
// 202 when everything is on disk, and a problem document (RFC 9457) when not.
// Any answer but 202 and 207 means that no event was taken.
//
// Clients need an API key with the scope `ingest`.
type Ingest struct {
	// The largest event in bytes, before and after it is made canonical: 1 to
	// 524288 (512 KiB).
	// Default: 262144 (256 KiB).
	MaxSize int64 `json:"max_size,omitempty"`

	// The most events of one batch: 1 to 100000.
	// Default: 1000.
	MaxBatch int `json:"max_batch,omitempty"`

	// The largest batch in bytes: 1 to 67108864 (64 MiB).
	// Default: 4194304 (4 MiB).
	MaxBatchSize int64 `json:"max_batch_size,omitempty"`

	// Whether events are taken from everyone who can connect, without an API
	// key. Only for sites that are bound to loopback or a unix socket, or that
	// mutual TLS guards; it is warned about at each load.
	// Default: false.
	AuthOff bool `json:"auth_off,omitempty"`

	life ingestLife
}

// CaddyModule returns the Caddy module information.
func (Ingest) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.webhook_ingest",
		New: func() caddy.Module { return new(Ingest) },
	}
}

var (
	maxSizeRange      = sizeRange{1, webhook.MaxEventSize}
	maxBatchRange     = intRange{1, 100_000}
	maxBatchSizeRange = sizeRange{1, 64 << 20}
)

// setDefaults fills in what is not set. Provision calls it.
func (h *Ingest) setDefaults() {
	if h.MaxSize == 0 {
		h.MaxSize = webhook.DefaultMaxSize
	}
	if h.MaxBatch == 0 {
		h.MaxBatch = webhook.DefaultMaxBatch
	}
	if h.MaxBatchSize == 0 {
		h.MaxBatchSize = webhook.DefaultMaxBatchSize
	}
}

// Validate checks the limits. It implements caddy.Validator.
func (h *Ingest) Validate() error {
	if err := maxSizeRange.check(h.MaxSize); err != nil {
		return fmt.Errorf("max_size: %w", err)
	}
	if err := maxBatchRange.check(h.MaxBatch); err != nil {
		return fmt.Errorf("max_batch: %w", err)
	}
	if err := maxBatchSizeRange.check(h.MaxBatchSize); err != nil {
		return fmt.Errorf("max_batch_size: %w", err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Module    = (*Ingest)(nil)
	_ caddy.Validator = (*Ingest)(nil)
)
