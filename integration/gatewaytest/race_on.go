//go:build race

package gatewaytest

// raceFlags build the gateway with the race detector when the tests have it.
var raceFlags = []string{"-race"}

const binaryName = "webhook-gateway-race"
