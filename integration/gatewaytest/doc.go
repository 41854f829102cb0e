// Package gatewaytest runs the gateway as its users do: as a process, built
// from cmd/webhook-gateway, configured by a Caddyfile, reached over sockets. It
// is for black-box tests; it knows nothing of the packages inside.
//
//	func TestMain(m *testing.M) { gatewaytest.Main(m) }
//
//	func TestDelivers(t *testing.T) {
//		receiver := gatewaytest.NewReceiver(t)
//		gateway := gatewaytest.Start(t, gatewaytest.Config{
//			Caddyfile: gatewaytest.Caddyfile(`
//				egress {
//					allow 127.0.0.0/8
//					allow_http
//				}
//				webhook demo {
//					project *
//					url ` + receiver.URL() + `
//					events *
//					secret a-secret-for-this-test
//				}`),
//		})
//		gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"p"}}`)
//		receiver.Await(t, 1)
//	}
//
// The receiver lives in the test's process, because the gateway never delivers
// to a port of its own process.
package gatewaytest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds each wait for another process. It is generous: it is only
// reached when something is broken.
const patience = 60 * time.Second

// Main is the TestMain of packages that use this one: it runs the tests and
// fails if they leave goroutines behind.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m)
}
