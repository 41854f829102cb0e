package integration_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/node"
)

const (
	receiverSecret    = "Geheimnis für Zürich 🦊, mit Umlauten"
	receiverOldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// nastyData is the data of events as publishers may write it. What a receiver's
// JSON.parse and JSON.stringify do to it must not change a byte of what the
// gateway sends.
var nastyData = map[string]string{
	"spaces and escapes":  "{ \"a\" : \"\\u00e9\\/\\u003c\\u0000\\t\" ,\n\t\"b\":[ 1 , 2 ] }",
	"unicode":             `{"name":"Zürich 東京 🦊 e` + "\u0301" + ` \ud83e\udd8a","ключ":"値"}`,
	"line separators":     `{"text":"a` + "\u2028" + `b` + "\u2029" + `c","escaped":"\u2028\u2029"}`,
	"what HTML escapes":   `{"html":"<script>&amp;</script> a/b","del":"` + "\x7f\u0085" + `"}`,
	"integer-like keys":   `{"b":1,"10":2,"9":3,"a":4,"4294967294":5,"4294967295":6,"01":7,"-1":8,"0":9}`,
	"deep integer keys":   `{"x":[{"z":1,"2":{"y":1,"1":2}}]}`,
	"floats":              `{"n":[1.0,1e2,1E-7,0.1,123456789.125,1e21,5e-324,1.7976931348623157e308,-0,-0.0,0.30000000000000004,3.141592653589793238]}`,
	"integers":            `{"n":[9007199254740991,-9007199254740991,999999999999999900000,100000000000000000000]}`,
	"names of JavaScript": `{"__proto__":{"x":1},"constructor":1,"toJSON":"no function","hasOwnProperty":null,"":0}`,
	"nothing":             `{}`,
	"200 KiB":             `{"text":"` + strings.Repeat("0123456789abcde\u2028", 200<<10/18) + `"}`,
}

// TestNodeReceiversVerifyDeliveries publishes nasty events to one receiver of
// each kind: Express with express.json(), Express with express.raw(), and the
// standardwebhooks library of npm.
func TestNodeReceiversVerifyDeliveries(t *testing.T) {
	t.Parallel()
	var webhooks strings.Builder
	receivers := make(map[string]*node.Receiver)
	for mode, secret := range map[string]string{"json": receiverSecret, "raw": receiverSecret, "standard": receiverOldSecret} {
		receivers[mode] = node.Start(t, node.Options{Secret: secret, Mode: mode})
		webhooks.WriteString(nodeWebhook(mode, receivers[mode], secret))
	}
	gateway := startWith(t, egress()+webhooks.String())

	for name, data := range nastyData {
		answer := gateway.Post(t, "/events", `{"type":"project.updated","project_id":"p","data":`+data+`}`)
		if answer.Status != http.StatusAccepted || !strings.Contains(answer.Body, `"deliveries":3`) {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			continue
		}
		var bodies []string
		for mode, receiver := range receivers {
			got := receiver.Next(t)
			bodies = append(bodies, string(got.Body))
			if got.Status != http.StatusOK || !got.Verdicts[mode].Valid {
				t.Errorf("%s: %s: %d %s%s, body %.300q", name, mode, got.Status, got.Verdicts[mode].Error, got.Error, got.Body)
			}
		}
		if bodies[0] != bodies[1] || bodies[1] != bodies[2] {
			t.Errorf("%s: receivers got different bodies", name)
		}
	}
	awaitNothingPending(t, gateway)
	if got, want := status(t, gateway).Deliveries["delivered"], 3*len(nastyData); got != want {
		t.Errorf("%d deliveries were taken, want %d", got, want)
	}
}

// TestNodeReceiversVerifyDuringARotation has a webhook with a new and a previous
// secret, and receivers that know one of them.
func TestNodeReceiversVerifyDuringARotation(t *testing.T) {
	t.Parallel()
	knowsNew := node.Start(t, node.Options{Secret: receiverSecret, Statuses: []int{http.StatusOK}})
	knowsOld := node.Start(t, node.Options{Secret: receiverOldSecret, Statuses: []int{http.StatusOK}})
	gateway := startWith(t, egress()+
		nodeWebhook("new", knowsNew, receiverSecret, receiverOldSecret)+
		nodeWebhook("old", knowsOld, receiverSecret, receiverOldSecret))
	publishTo(t, gateway, 2)

	for _, tt := range []struct {
		name     string
		receiver *node.Receiver
		header   string // the one that holds for a receiver of the x-tengine scheme
	}{
		{"knows the new secret", knowsNew, "x-tengine-signature"},
		{"knows the previous secret", knowsOld, "x-tengine-signature-previous"},
	} {
		got := tt.receiver.Next(t)
		for mode, want := range map[string]string{"json": tt.header, "raw": tt.header, "standard": "webhook-signature"} {
			if diff := cmp.Diff([]string{want}, got.Verdicts[mode].Matches); diff != "" {
				t.Errorf("%s: %s: headers that hold (-want +got):\n%s", tt.name, mode, diff)
			}
		}
		if signatures := strings.Fields(got.Header("webhook-signature")); len(signatures) != 2 {
			t.Errorf("%s: webhook-signature has %d signatures, want 2", tt.name, len(signatures))
		}
	}
}

// nodeWebhook is the settings of a webhook for all events.
func nodeWebhook(name string, receiver *node.Receiver, secrets ...string) string {
	var quoted strings.Builder
	for _, secret := range secrets {
		fmt.Fprintf(&quoted, " %q", secret)
	}
	return "webhook " + name + " {\nproject *\nurl " + receiver.URL() + "/hook\nevents *\nsecret" + quoted.String() + "\n}\n"
}
