package dispatch

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
)

// errPanicked is what Err returns after a panic. What the panic said is in the
// log only: it may hold what others should not see.
var errPanicked = errors.New("dispatcher panicked: nothing is sent until a restart, see the log")

// Err returns why the Dispatcher has stopped sending for good, although nobody
// stopped it: the store is gone, or there was a panic in its own bookkeeping.
// It is nil while all is well. Nothing is lost: what is pending goes out after
// a restart.
func (d *Dispatcher) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// halt ends claiming for good. It returns false if that had ended before.
func (d *Dispatcher) halt(err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.halted {
		return false
	}
	d.halted, d.err = true, err
	return true
}

// storeFailed logs an error of the store. One that will not pass ends claiming.
func (d *Dispatcher) storeFailed(doing, webhookID string, err error) {
	if !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrUnavailable) {
		d.log.Error("store failed", zap.String("doing", doing), zap.String("webhook_id", webhookID), zap.Error(err))
		return
	}
	if d.halt(fmt.Errorf("%s: %w", doing, err)) {
		d.log.Error("the store is gone, sending stops", zap.String("doing", doing), zap.Error(err))
	}
}

// guard is deferred, before d.mu is taken, where a panic leaves counts and
// places that cannot be trusted: too many attempts, or the same twice, would be
// worse than none. Such a panic halts the Dispatcher, not the process; attempts
// in flight still end and are recorded.
func (d *Dispatcher) guard(where string) {
	p := recover()
	if p == nil {
		return
	}
	d.halt(errPanicked)
	d.log.Error("the dispatcher panicked, sending stops until a restart",
		zap.String("where", where), zap.Any("panic", p), zap.Stack("stack"))
}

func (d *Dispatcher) logPanic(msg, webhookID string, p any) {
	d.log.Error(msg, zap.String("webhook_id", webhookID), zap.Any("panic", p), zap.Stack("stack"))
}
