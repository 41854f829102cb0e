package caddymodule

// Egress is how deliveries leave this machine and where they may go. Without
// it they leave from the address the operating system picks, and only to
// public addresses over https.
type Egress struct {
	// The local IP addresses that every delivery leaves from. Several are
	// spread over the webhooks; each webhook sees one only. An address that
	// this machine does not have is an error at start. It cannot be combined
	// with `proxy`.
	// Default: the operating system picks one.
	Source []string `json:"source,omitempty"`

	// The IP addresses that are shown to those who run receivers, for their
	// firewalls.
	// Default: `source`. Required with `proxy`.
	Advertise []string `json:"advertise,omitempty"`

	// The URL of an HTTP proxy that all deliveries go through, such as
	// `http://proxy.internal:3128`. Receivers are looked up and checked here
	// all the same. `advertise` must say which addresses the proxy sends from.
	// Placeholders such as `{env.PROXY}` are resolved when the configuration is
	// loaded; a user name and password in it are sent to the proxy.
	// Default: none.
	Proxy string `json:"proxy,omitempty"`

	// Private addresses that may be receivers.
	// Default: none.
	Allow []EgressAllow `json:"allow,omitempty"`

	// Whether `http://` URLs may be receivers.
	// Default: false.
	AllowHTTP bool `json:"allow_http,omitempty"`
}

// EgressAllow opens private addresses to webhooks. Addresses of cloud metadata
// services and the ports of this process stay closed.
type EgressAllow struct {
	// An IP address, or a range of them such as `10.20.0.0/16`. Required.
	Range string `json:"range,omitempty"`

	// The ids of the projects whose webhooks may use it; `*` is every project.
	// Default: every project.
	Projects []string `json:"projects,omitempty"`
}
