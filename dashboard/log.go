package dashboard

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// logPage is a part of a webhook's log.
type logPage struct {
	Webhook    gateway.Webhook
	Deliveries []webhook.Delivery
	Next       string // the link to the next part; empty on the last
	Filter     logFilter
	Statuses   []webhook.Status
	Types      []string
	Stream     string // the path of the live rows; empty if this is not the newest part
	First      bool
}

// logFilter is the filter as it stands in the form.
type logFilter struct {
	Status, Type, Event, Since, Until string
	Fault                             string
}

// Set says whether the filter restricts anything.
func (f logFilter) Set() bool { return f.Status+f.Type+f.Event+f.Since+f.Until != "" }

// query returns the filter as a query.
func (f logFilter) query() url.Values {
	q := make(url.Values)
	for name, value := range map[string]string{"status": f.Status, "type": f.Type, "event_id": f.Event, "since": f.Since, "until": f.Until} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// logFilter reads the filter of a request.
func (v *visit) logFilter() (logFilter, gateway.DeliveryFilter) {
	f := logFilter{
		Status: v.form("status"), Type: v.form("type"), Event: v.form("event_id"),
		Since: v.form("since"), Until: v.form("until"),
	}
	filter := gateway.DeliveryFilter{EventType: f.Type, EventID: f.Event}
	if status := webhook.Status(f.Status); slices.Contains(webhook.Statuses, status) {
		filter.Status = status
	} else if f.Status != "" {
		f.Fault = "There is no such status."
	}
	var err error
	if f.Since != "" {
		if filter.Since, err = localTime(f.Since); err != nil {
			f.Fault = "The times must be like 2026-01-31T13:00, in UTC."
		}
	}
	if f.Until != "" {
		if filter.Until, err = localTime(f.Until); err != nil {
			f.Fault = "The times must be like 2026-01-31T13:00, in UTC."
		}
	}
	return f, filter
}

// log returns a part of a webhook's log.
func (v *visit) log(w gateway.Webhook, filter gateway.DeliveryFilter, p gateway.Page) (logPage, error) {
	page := logPage{Webhook: w, Statuses: webhook.Statuses, First: p.Cursor == ""}
	for _, t := range v.gw.EventTypes() {
		page.Types = append(page.Types, t.Type)
	}
	// A page of the store can be short although there is more behind it.
	for range 5 {
		list, next, err := v.gw.Deliveries(v.ctx(), v.by, w.ID, filter, p)
		if err != nil {
			return page, err
		}
		page.Deliveries = append(page.Deliveries, list...)
		p.Cursor, p.Limit = next, p.Limit-len(list)
		if next == "" || p.Limit <= 0 {
			break
		}
	}
	page.Next = p.Cursor
	return page, nil
}

func (v *visit) showLog() error {
	w, err := v.find()
	if err != nil {
		return err
	}
	form, filter := v.logFilter()
	page, err := v.log(w, filter, v.page())
	if err != nil {
		return err
	}
	page.Filter = form
	q := form.query()
	if page.First {
		page.Stream = v.d.o.Mount + "/webhook/" + w.ID + "/log/stream?" + q.Encode()
	}
	if page.Next != "" {
		q.Set("cursor", page.Next)
		page.Next = "?" + q.Encode()
	}
	return v.renderAt(place{"webhooks", w.ProjectID}, http.StatusOK, "log", "Log", page)
}
