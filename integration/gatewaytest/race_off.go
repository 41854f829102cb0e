//go:build !race

package gatewaytest

var raceFlags []string

const binaryName = "webhook-gateway"
