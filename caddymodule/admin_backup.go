package caddymodule

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
)

func (*Admin) backup(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway) error {
	out := &backupAnswer{w: w, conn: http.NewResponseController(w)}
	err := gw.Backup(r.Context(), out)
	if err == nil || !out.begun {
		return err
	}
	caddy.Log().Named("admin.api.webhook_gateway").Error("backup failed", zap.Error(err))
	panic(http.ErrAbortHandler) // so that the client does not take the answer for whole
}

// backupAnswer is the body of an answer that takes as long as it takes. A client
// that reads nothing for adminTime ends it: an open backup costs disk space.
type backupAnswer struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	begun bool
}

func (a *backupAnswer) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		h := a.w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Connection", "close") // its deadline is changed
	}
	if err := a.conn.SetWriteDeadline(time.Now().Add(adminTime)); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}
