package api

import (
	"encoding/json"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// The examples of the documentation. They are values of the types that answers
// are made of, so that they stay true.
var (
	exampleCreation = map[string]any{
		"url":     "https://your-app.com/webhook",
		"events":  []string{"project.created", "api_key.created"},
		"secret":  "your-webhook-secret",
		"headers": map[string]string{"X-Custom-Header": "custom-value"},
		"filters": map[string]string{"project.name": "My Project"},
	}
	exampleChange = map[string]any{"events": []string{"project.*"}, "filters": nil}

	exampleTime    = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	exampleWebhook = wireWebhook{
		ID:        "wh_01J9Z3Q8M5ABCDEFGHJKMNPQRS",
		ProjectID: "proj_123",
		URL:       "https://your-app.com/webhook",
		Events:    []string{"project.created", "api_key.created"},
		Filters:   filters{"project.name": json.RawMessage(`"My Project"`)},
		Headers:   headers([]webhook.Header{{Name: "X-Custom-Header", Value: "custom-value"}}),
		Status:    "active",
		Secrets:   []wireSecretHint{{Hint: "…cret"}},
		Source:    "api",
		CreatedAt: exampleTime,
		UpdatedAt: exampleTime,
	}
)
