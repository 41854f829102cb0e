package integration_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/integration/node"
)

const receiverNewestSecret = "a third secret that nobody knew before"

// TestNodeReceiversVerifyWhileTheAPIRotatesSecrets takes webhooks from a first secret
// to a second and, within the overlap, to a third. Of three receivers each knows one
// of them, and verifies JSON.stringify(req.body), the raw body, and with the library
// of Standard Webhooks.
func TestNodeReceiversVerifyWhileTheAPIRotatesSecrets(t *testing.T) {
	t.Parallel()
	const signature, previous, next = "x-tengine-signature", "x-tengine-signature-previous", "x-tengine-signature-next"
	for primary, want := range map[string]struct{ rotated, forced [3]string }{ // the header that holds, by receiver
		"new":      {[3]string{previous, signature, ""}, [3]string{"", previous, signature}},
		"previous": {[3]string{signature, next, ""}, [3]string{"", signature, next}},
	} {
		t.Run(primary, func(t *testing.T) {
			w := newRotationWorld(t)
			w.publish(t, [3]string{signature, "", ""})

			rotation := func(secret, more string) string {
				return fmt.Sprintf(`{"secret":%q,"overlap":"24h","primary":%q%s}`, secret, primary, more)
			}
			for _, rotated := range w.rotate(t, http.StatusOK, rotation(receiverSecret, "")) {
				if strings.Contains(rotated.Body, `"secret":`) {
					t.Errorf("a secret that was given is shown: %s", rotated.Body)
				}
			}
			w.publish(t, want.rotated)

			w.rotate(t, http.StatusConflict, rotation(receiverNewestSecret, ""))
			w.publish(t, want.rotated) // a refusal changes nothing

			w.rotate(t, http.StatusOK, rotation(receiverNewestSecret, `,"force":true`))
			w.publish(t, want.forced)
		})
	}
}

// rotationWorld is a gateway with three webhooks of the API, whose receivers know
// the first, the second and the third secret.
type rotationWorld struct {
	gateway   *gatewaytest.Gateway
	token     string
	receivers [3]*node.Receiver
	webhooks  [3]string // ids
	published int
}

func newRotationWorld(t *testing.T) *rotationWorld {
	t.Helper()
	w := &rotationWorld{gateway: gatewaytest.Start(t, gatewaytest.Config{Caddyfile: withAPI(t, egress())})}
	w.token = strings.TrimSpace(webhookCommand(t, w.gateway, "", "key", "create", "manager").out)
	for i, secret := range []string{receiverOldSecret, receiverSecret, receiverNewestSecret} {
		w.receivers[i] = node.Start(t, node.Options{Secret: secret, Statuses: []int{http.StatusOK}})
		w.webhooks[i] = createWebhook(t, w.gateway, w.token, w.receivers[i].URL(), `"secret":"`+receiverOldSecret+`"`).ID
	}
	return w
}

// rotate asks for the same rotation of all webhooks.
func (w *rotationWorld) rotate(t *testing.T, status int, body string) (answers []gatewaytest.Answer) {
	t.Helper()
	for _, id := range w.webhooks {
		answer := manage(t, w.gateway, w.token, http.MethodPost, "/api/v1/webhooks/"+id+"/rotate-secret", body)
		if answer.Status != status {
			t.Fatalf("rotate to %s: %d %s, want %d", body, answer.Status, answer.Body, status)
		}
		answers = append(answers, answer)
	}
	return answers
}

// publish publishes an event and looks at which header holds for each receiver;
// none where it is empty.
func (w *rotationWorld) publish(t *testing.T, headers [3]string) {
	t.Helper()
	w.published++
	publish(t, w.gateway, fmt.Sprintf("evt_%d", w.published))
	for i, receiver := range w.receivers {
		got := receiver.Next(t)
		for _, mode := range []string{"json", "raw", "standard"} {
			var want []string
			switch {
			case headers[i] == "":
			case mode == "standard":
				want = []string{"webhook-signature"}
			default:
				want = []string{headers[i]}
			}
			if !slices.Equal(got.Verdicts[mode].Matches, want) {
				t.Errorf("event %d, receiver of secret %d, %s: %q hold, want %q", w.published, i+1, mode, got.Verdicts[mode].Matches, want)
			}
		}
	}
}
