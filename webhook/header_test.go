package webhook_test

import (
	"testing"

	"github.com/tengineai/webhook-gateway/webhook"
)

func TestHeadersThatNameASecretAreSecret(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "COOKIE": true, "X-Auth": true, "x-access-token": true, "X-Api-Key": true,
		"X-Client-Secret": true, "X-Password": true, "X-Hub-Signature-256": true, "Proxy-Authenticate": true,
		"X-Custom-Header": false, "X-Tenant": false, "": false,
	} {
		if got := webhook.SecretHeader(name); got != want {
			t.Errorf("SecretHeader(%q) = %v, want %v", name, got, want)
		}
	}
}
