package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
)

// Backup writes a backup of the store to w. It is whole if the error is nil, and
// does not hold the key that the secrets in it are sealed with. There is one at
// a time: it holds on to what is deleted meanwhile.
func (g *Gateway) Backup(ctx context.Context, w io.Writer) error {
	store, ok := g.store.(queue.Backuper)
	if !ok {
		return problem.New(problem.Conflict, "The store of this gateway cannot be backed up by the gateway. Use what the store brings for it.")
	}
	if !g.backingUp.TryLock() {
		return problem.New(problem.Conflict, "Another backup is under way. Wait until it has ended.")
	}
	defer g.backingUp.Unlock()
	err := store.Backup(ctx, w)
	if errors.Is(err, queue.ErrClosed) {
		return fmt.Errorf("%w: %w", unavailable("The gateway is stopping."), err)
	}
	return err
}

// SecretsKeyFile returns the file with the key that secrets are sealed with.
// Empty: the configuration has it, or there is none.
func (g *Gateway) SecretsKeyFile() string {
	if s := g.Settings(); s == nil || s.SecretsKey != "" {
		return ""
	}
	return g.keyFile
}
