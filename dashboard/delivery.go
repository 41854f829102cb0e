package dashboard

import (
	"net/http"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// deliveryPage is one delivery in full.
type deliveryPage struct {
	gateway.DeliveryDetail
	Webhook   gateway.Webhook
	Pretty    []byte
	Retryable bool
}

func (v *visit) delivery() error {
	d, err := v.gw.Delivery(v.ctx(), v.by, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.showDelivery(d)
}

func (v *visit) showDelivery(d gateway.DeliveryDetail) error {
	page := deliveryPage{DeliveryDetail: d, Pretty: pretty(d.Payload), Retryable: retryable(d.Status)}
	w, err := v.gw.Webhook(v.ctx(), v.by, d.WebhookID)
	if ignoreGone(err) != nil {
		return err
	}
	page.Webhook = w
	if w.ID == "" { // it was deleted
		page.Retryable = false
	}
	return v.renderAt(place{"webhooks", d.ProjectID}, http.StatusOK, "delivery", "Delivery", page)
}

// retryable says whether a delivery can be tried once more (contract section 3).
func retryable(s webhook.Status) bool {
	switch s {
	case webhook.Pending, webhook.Failed, webhook.Delivered, webhook.Skipped, webhook.FilterError:
		return true
	case webhook.Cancelled, webhook.Corrupt:
	}
	return false
}

func (v *visit) retry() error {
	d, err := v.gw.Retry(v.ctx(), v.by, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.redirect("/deliveries/" + d.ID + "?done=retried")
}
