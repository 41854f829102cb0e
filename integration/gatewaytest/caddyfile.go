package gatewaytest

import "fmt"

// IngestKey is the API key of Caddyfile and of Gateway.Post.
const IngestKey = "an-ingest-key-for-black-box-tests"

// Caddyfile returns a configuration with the given settings inside its
// webhook_gateway block and one site that takes events at /events. The settings
// must not hold a store or an API key named "ingest"; they are there.
func Caddyfile(settings string) string {
	return fmt.Sprintf(`{
	admin {$ADMIN}
	grace_period 3s
	webhook_gateway {
		store badger {
			dir {$STORE}
		}
		api_key ingest %s {
			scope ingest
		}
		%s
	}
}

http://{$SITE} {
	bind 127.0.0.1
	webhook_ingest /events
	respond 404
}
`, IngestKey, settings)
}
