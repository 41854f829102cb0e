package caddymodule

import (
	"net/http"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// events takes what webhook_ingest takes, in the same forms, up to the largest
// event that any webhook_ingest can be set to.
func (*Admin) events(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway) error {
	h := &Ingest{MaxSize: webhook.MaxEventSize}
	h.setDefaults()
	err := h.take(w, r, gw, nil)
	if err != nil {
		problem.LeaveBody(w, r)
	}
	return err
}
