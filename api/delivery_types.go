package api

import (
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// WireDelivery is a delivery as lists show it (contract section 3).
type WireDelivery struct {
	ID            string        `json:"id"`
	WebhookID     string        `json:"webhook_id"`
	EventID       string        `json:"event_id"`
	EventType     string        `json:"event_type"`
	ProjectID     string        `json:"project_id"`
	Status        string        `json:"status" enum:"pending,delivered,failed,skipped,cancelled,filter_error,corrupt"`
	Reason        *string       `json:"reason" doc:"Why it has its status, where the status does not say all."`
	Attempts      int           `json:"attempts" minimum:"0" doc:"How many attempts were made."`
	NextAttemptAt *time.Time    `json:"next_attempt_at" doc:"Null unless pending."`
	CreatedAt     time.Time     `json:"created_at"`
	FinishedAt    *time.Time    `json:"finished_at" doc:"Null while pending."`
	LastAttempt   attemptOrNull `json:"last_attempt"`
}

// wireDeliveryDetail is a delivery in full.
type wireDeliveryDetail struct {
	WireDelivery
	Payload        string        `json:"payload" doc:"The exact body, as it is signed and sent."`
	RequestHeaders headers       `json:"request_headers" doc:"Secret values are shown as ********."`
	AttemptLog     []wireAttempt `json:"attempt_log" nullable:"false" doc:"The recorded attempts, oldest first."`
}

// wireAttempt is one HTTP request of a delivery.
type wireAttempt struct {
	Number            int       `json:"number" minimum:"1"`
	StartedAt         time.Time `json:"started_at"`
	DurationMS        int64     `json:"duration_ms" minimum:"0" doc:"To the end of the response headers, or to the failure."`
	Outcome           string    `json:"outcome" enum:"success,http_1xx,http_3xx,http_4xx,http_5xx,timeout,dns,connect,tls,reset,blocked_address,no_address_family,headers_too_large,bad_response,proxy,panic"`
	StatusCode        *int      `json:"status_code" doc:"Null if no status line arrived."`
	Error             *string   `json:"error" doc:"Why it failed; null on success."`
	ResponseHeaders   headers   `json:"response_headers" doc:"Several values of a name are joined by a comma; secret ones are shown as ********."`
	ResponseBody      *string   `json:"response_body" doc:"At most its first 16 KiB; null if no status line arrived. Bytes that are no UTF-8 are replaced by U+FFFD."`
	ResponseTruncated bool      `json:"response_truncated"`
	SourceIP          *string   `json:"source_ip" doc:"The gateway's address; null if no connection was made."`
	RemoteIP          *string   `json:"remote_ip" doc:"The receiver's address; null if no connection was made."`
	Trigger           string    `json:"trigger" enum:"schedule,manual,replay,test"`
}

// attemptOrNull is an attempt, or null before the first.
type attemptOrNull struct{ attempt *wireAttempt }

// MarshalJSONTo writes the attempt.
func (a attemptOrNull) MarshalJSONTo(enc *jsontext.Encoder) error {
	if a.attempt == nil {
		return enc.WriteToken(jsontext.Null)
	}
	return json.MarshalEncode(enc, a.attempt)
}

// Schema implements huma.SchemaProvider.
func (attemptOrNull) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[wireAttempt](), true, ""), {Type: "null"}}}
}

func newWireDelivery(d *webhook.Delivery) WireDelivery {
	out := WireDelivery{
		ID:            d.ID,
		WebhookID:     d.WebhookID,
		EventID:       d.EventID,
		EventType:     d.EventType,
		ProjectID:     d.ProjectID,
		Status:        string(d.Status),
		Reason:        textOrNull(d.Reason),
		Attempts:      d.Attempts,
		NextAttemptAt: timeOrNull(d.NextAttemptAt),
		CreatedAt:     d.CreatedAt.UTC(),
		FinishedAt:    timeOrNull(d.FinishedAt),
	}
	if d.LastAttempt != nil {
		last := newWireAttempt(d.LastAttempt)
		out.LastAttempt = attemptOrNull{&last}
	}
	return out
}

func newWireDeliveryDetail(d *gateway.DeliveryDetail) wireDeliveryDetail {
	out := wireDeliveryDetail{
		WireDelivery:   newWireDelivery(&d.Delivery),
		Payload:        validText(string(d.Payload)),
		RequestHeaders: d.RequestHeaders,
		AttemptLog:     make([]wireAttempt, len(d.AttemptLog)),
	}
	for i := range d.AttemptLog {
		out.AttemptLog[i] = newWireAttempt(&d.AttemptLog[i])
	}
	return out
}

func newWireAttempt(a *webhook.Attempt) wireAttempt {
	out := wireAttempt{
		Number:            a.Number,
		StartedAt:         a.StartedAt.UTC(),
		DurationMS:        a.Duration.Milliseconds(),
		Outcome:           string(a.Outcome),
		Error:             textOrNull(a.Error),
		ResponseHeaders:   masked(a.ResponseHeaders),
		ResponseTruncated: a.ResponseTruncated,
		SourceIP:          textOrNull(a.SourceIP),
		RemoteIP:          textOrNull(a.RemoteIP),
		Trigger:           string(a.Trigger),
	}
	if a.StatusCode != 0 {
		out.StatusCode = &a.StatusCode
		body := validText(string(a.ResponseBody))
		out.ResponseBody = &body
	}
	return out
}

// masked hides the values of headers that may be secret. Attempts that were
// recorded by earlier versions hold them.
func masked(list []webhook.Header) headers {
	out := make(headers, len(list))
	for i, h := range list {
		if webhook.SecretHeader(h.Name) {
			h.Value = gateway.Masked
		}
		out[i] = h
	}
	return out
}
