package caddymodule

// APIKey is a key that clients send as `Authorization: Bearer <token>`.
type APIKey struct {
	// The token, 20 to 256 printable ASCII characters without spaces, or
	// `sha256:` and the 64 hex digits of its SHA-256 hash. Placeholders
	// `{env.NAME}` and `{file./path}` are resolved. A token that is written
	// here itself can be read by everyone who can read the configuration, and
	// is warned about. Tokens must be random: `openssl rand -hex 32` makes a
	// good one. Required.
	Token string `json:"token,omitempty"`

	// What the key may do: `ingest` publishes events, `read` reads webhooks,
	// deliveries and events, `manage` changes webhooks and sends again.
	// Default: `read` and `manage`.
	Scopes []string `json:"scopes,omitempty"`

	// The ids of the projects that the key is for; `*` is every project.
	// Default: every project.
	Projects []string `json:"projects,omitempty"`
}
