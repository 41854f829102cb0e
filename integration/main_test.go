package integration_test

import (
	"testing"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

func TestMain(m *testing.M) { gatewaytest.Main(m) }
