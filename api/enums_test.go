package api_test

import (
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

type enum struct {
	schema, property string
	want             []string
}

// enums returns the closed lists of the document with what the code has.
func enums() []enum {
	results := append(texts(webhook.Statuses), gateway.ResultFiltered, gateway.ResultNotSubscribed, gateway.ResultCreatedLater)
	health := texts([]gateway.HealthStatus{gateway.HealthOK, gateway.HealthDegraded, gateway.HealthUnavailable})
	states := texts([]webhook.State{webhook.Active, webhook.Paused, webhook.Disabled})
	return []enum{
		{"Delivery", "status", texts(webhook.Statuses)},
		{"DeliveryDetail", "status", texts(webhook.Statuses)},
		{"Attempt", "outcome", texts(webhook.Outcomes)},
		{"Attempt", "trigger", texts([]webhook.Trigger{webhook.BySchedule, webhook.Manually, webhook.ByReplay, webhook.ByTest})},
		{"EventOutcome", "result", results},
		{"Webhook", "status", states},
		{"Change", "status", states},
		{"Webhook", "disabled_reason", []string{webhook.ReasonGone, webhook.ReasonFailing, webhook.ReasonManual}},
		{"Replay", "state", texts([]gateway.ReplayState{gateway.ReplayRunning, gateway.ReplayDone, gateway.ReplayCancelled})},
		{"Health", "status", health},
		{"Check", "status", health},
		{"Problem", "code", texts(problem.RequestCodes())},
		{"ProblemItem", "code", texts(problem.ItemCodes())},
	}
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}
