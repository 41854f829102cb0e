package webhook

// builtinTypes is the built-in catalogue in the order of the contract. The
// samples are canonical; those of project.created and api_key.created are the
// contract's.
var builtinTypes = []EventType{
	{
		Type:        "project.created",
		Description: "A project was created.",
		Sample:      []byte(`{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"}`),
	},
	{
		Type:        "project.updated",
		Description: "A project's name, description or settings changed.",
		Sample:      []byte(`{"id":"proj_123","name":"My Renamed Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z","updated_at":"2024-02-01T09:30:00Z"}`),
	},
	{
		Type:        "project.deleted",
		Description: "A project was deleted.",
		Sample:      []byte(`{"id":"proj_123","name":"My Project","deleted_at":"2024-03-01T12:00:00Z"}`),
	},
	{
		Type:        "api_key.created",
		Description: "An API key was created. The key itself is not part of the event.",
		Sample:      []byte(`{"id":"key_123","name":"My API Key","permissions":["read","write"]}`),
	},
	{
		Type:        "api_key.revoked",
		Description: "An API key was revoked and no longer works.",
		Sample:      []byte(`{"id":"key_123","name":"My API Key","revoked_at":"2024-03-01T12:00:00Z","reason":"rotated"}`),
	},
	{
		Type:        "api_key.updated",
		Description: "An API key's name or permissions changed.",
		Sample:      []byte(`{"id":"key_123","name":"My API Key","permissions":["read"],"updated_at":"2024-02-01T09:30:00Z"}`),
	},
	{
		Type:        "integration.connected",
		Description: "An integration was connected to the project.",
		Sample:      []byte(`{"id":"int_123","provider":"github","name":"my-org/my-repo","connected_at":"2024-01-15T08:00:00Z"}`),
	},
	{
		Type:        "integration.disconnected",
		Description: "An integration was disconnected, by a user or because its access was withdrawn.",
		Sample:      []byte(`{"id":"int_123","provider":"github","name":"my-org/my-repo","disconnected_at":"2024-03-01T12:00:00Z","reason":"access_revoked"}`),
	},
	{
		Type:        "integration.updated",
		Description: "An integration's settings changed.",
		Sample:      []byte(`{"id":"int_123","provider":"github","name":"my-org/my-repo","events":["push","pull_request"],"updated_at":"2024-02-01T09:30:00Z"}`),
	},
	{
		Type:        "usage.threshold_reached",
		Description: "Usage passed a share of its limit that somebody wanted to hear about.",
		Sample:      []byte(`{"metric":"api_requests","threshold_percent":80,"used":80000,"limit":100000,"period":{"start":"2024-01-01T00:00:00Z","end":"2024-02-01T00:00:00Z"}}`),
	},
	{
		Type:        "usage.limit_exceeded",
		Description: "Usage went over its limit.",
		Sample:      []byte(`{"metric":"api_requests","used":100001,"limit":100000,"period":{"start":"2024-01-01T00:00:00Z","end":"2024-02-01T00:00:00Z"}}`),
	},
}

// operationalTypes are the events that the gateway publishes about itself.
var operationalTypes = []EventType{
	{
		Type:        "webhook.disabled",
		Description: "A webhook of the project was disabled; its deliveries are skipped until it is active again.",
		Sample:      []byte(`{"webhook_id":"wh_123","url":"https://your-app.com/webhook","reason":"failing"}`),
	},
	{
		Type:        "webhook.delivery_failed",
		Description: "A delivery failed for good: its last attempt was made.",
		Sample:      []byte(`{"webhook_id":"wh_123","delivery_id":"dlv_123","event_id":"evt_123","event_type":"project.created","attempts":6,"outcome":"timeout"}`),
	},
	{
		Type:        "webhook.backlog_full",
		Description: "Too many deliveries of a webhook are pending; new ones are skipped.",
		Sample:      []byte(`{"webhook_id":"wh_123","pending":1000000}`),
	},
}
