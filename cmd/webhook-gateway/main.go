// Command webhook-gateway is Caddy with the webhook gateway built in. It takes
// every Caddy command (run, validate, reload, …) and the gateway's own, under
// "webhook". It serves go run and container images; a Caddy built by xcaddy
// with this module behaves the same.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/tengineai/webhook-gateway"
)

func main() {
	caddycmd.Main()
}
