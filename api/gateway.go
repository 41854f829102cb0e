package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
)

// wireEventType is an entry of the catalogue.
type wireEventType struct {
	Type        string `json:"type" example:"project.created"`
	Description string `json:"description"`
	Sample      object `json:"sample" doc:"The data of such an event."`
}

// wireHealth is whether the gateway does its work.
type wireHealth struct {
	Status string               `json:"status" enum:"ok,degraded,unavailable"`
	Checks map[string]wireCheck `json:"checks"`
}

// wireCheck is one part of the health.
type wireCheck struct {
	Status string `json:"status" enum:"ok,degraded,unavailable"`
	Detail string `json:"detail,omitempty"`
}

func (a *API) registerGateway(h huma.API) {
	type nothing struct{}
	type eventTypes struct {
		Body struct {
			Data []wireEventType `json:"data" nullable:"false"`
		} `nameHint:"EventTypes"`
	}
	register(a, h, operation[noBody]{
		id: "list-event-types", method: http.MethodGet, path: "/event-types",
		summary: "List the event types with a sample of each", scope: gateway.ScopeRead,
	}, func(c *call, _ *nothing, _ *noBody) (*eventTypes, error) {
		out := new(eventTypes)
		out.Body.Data = []wireEventType{}
		for _, t := range c.gw.EventTypes() {
			out.Body.Data = append(out.Body.Data, wireEventType{t.Type, t.Description, object(t.Sample)})
		}
		return out, nil
	})

	type egressIPs struct {
		Body struct {
			IPs []string `json:"ips" nullable:"false"`
		} `nameHint:"EgressIPs"`
	}
	register(a, h, operation[noBody]{
		id: "list-egress-ips", method: http.MethodGet, path: "/egress-ips",
		summary: "List the addresses that deliveries come from", description: "For receivers' allow lists. No key is needed. Empty: not fixed.",
	}, func(c *call, _ *nothing, _ *noBody) (*egressIPs, error) {
		if c.gw == nil {
			_, err := a.options.Gateway(c)
			return nil, err
		}
		out := new(egressIPs)
		out.Body.IPs = append([]string{}, c.gw.EgressIPs()...)
		return out, nil
	})

	type health struct {
		Status int
		Body   wireHealth
	}
	register(a, h, operation[noBody]{
		id: "get-health", method: http.MethodGet, path: "/health",
		summary: "Whether the gateway does its work", description: "No key is needed. 503 while events cannot be taken.",
		also: also{http.StatusServiceUnavailable, "Events cannot be taken"},
	}, func(c *call, _ *nothing, _ *noBody) (*health, error) {
		now := gateway.Health{Status: gateway.HealthUnavailable}
		if c.gw != nil {
			now = c.gw.Health()
		}
		out := &health{Status: http.StatusOK, Body: wireHealth{Status: string(now.Status), Checks: make(map[string]wireCheck)}}
		if now.Status == gateway.HealthUnavailable {
			out.Status = http.StatusServiceUnavailable
		}
		for name, check := range now.Checks {
			out.Body.Checks[name] = wireCheck{string(check.Status), check.Detail}
		}
		return out, nil
	})
}
