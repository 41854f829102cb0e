package node_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tengineai/webhook-gateway/integration/node"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretA = "Geheimnis für Zürich 🦊, mit Umlauten"
	secretB = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// unsigned are the headers of a request without a signature.
var unsigned = signer.Signatures{}.Headers()

// canonicalBodies are canonical already: JSON.stringify(JSON.parse(body)) is
// body. To make them so is not the signer's work.
var canonicalBodies = map[string]string{
	"the contract's example": `{"id":"evt_01J9Z3Q8M5","type":"project.created","data":{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`,
	"unicode":                `{"name":"Zürich 東京 🦊 e` + "\u0301" + `"}`,
	"line separators":        `{"text":"a` + "\u2028" + `b` + "\u2029" + `c"}`,
	"what HTML escapes":      `{"html":"<b>&amp;</b> a/b"}`,
	"escapes":                `{"text":"\"\\\b\f\n\r\t\u0000\u001f` + "\x7f\u0085" + `"}`,
	"numbers":                `[0,1,-1,0.1,1e+21,100000000000000000000,1e-7,5e-324,1.7976931348623157e+308,9007199254740991]`,
	"integer-like keys":      `{"0":1,"7":2,"4294967294":3,"b":4,"a":5,"4294967295":6,"01":7,"-1":8}`,
	"special keys":           `{"__proto__":{"x":1},"constructor":1,"toJSON":"no function","":0}`,
	"empty":                  `{}`,
	"256 KiB":                `{"text":"` + strings.Repeat("0123456789abcde\u2028", 256<<10/18-1) + `"}`,
}

func TestNodeReceiversVerifyOurSignatures(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode, secret string
		verdicts     int
	}{
		{"json", secretA, 1},
		{"raw", secretA, 1},
		{"standard", secretA, 1},
		{"standard", signer.Generate(), 1},
		{"all", secretB, 3},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			t.Parallel()
			r := node.Start(t, node.Options{Secret: tc.secret, Mode: tc.mode})
			s := signer.New([]webhook.Secret{{Value: tc.secret, Role: webhook.SecretPrimary}})
			for name, body := range canonicalBodies {
				if status := r.Post(t, "/", []byte(body), s.Sign(time.Now(), "evt_1", []byte(body)).Headers()); status != http.StatusOK {
					t.Errorf("%s: status %d, want 200", name, status)
				}
				got := r.Next(t)
				if len(got.Verdicts) != tc.verdicts {
					t.Errorf("%s: %d verdicts, want %d", name, len(got.Verdicts), tc.verdicts)
				}
				for mode, v := range got.Verdicts {
					if !v.Valid {
						t.Errorf("%s: %s: %s", name, mode, v.Error)
					}
				}
				if !bytes.Equal(got.Body, []byte(body)) {
					t.Errorf("%s: the body arrived as %q", name, got.Body)
				}
			}
		})
	}
}

func TestNodeReceiversVerifyDuringARotation(t *testing.T) {
	const old, new = secretA, secretB
	later := time.Now().Add(time.Hour)
	inNew := signer.New([]webhook.Secret{{Value: new, Role: webhook.SecretPrimary}, {Value: old, Role: webhook.SecretPrevious, ExpiresAt: later}})
	inPrevious := signer.New([]webhook.Secret{{Value: old, Role: webhook.SecretPrimary, ExpiresAt: later}, {Value: new, Role: webhook.SecretNext}})
	body := []byte(canonicalBodies["the contract's example"])

	knowsOld := node.Start(t, node.Options{Secret: old})
	knowsNew := node.Start(t, node.Options{Secret: new})
	for _, tc := range []struct {
		name     string
		signer   *signer.Signer
		receiver *node.Receiver
		header   string // the one that holds for a receiver of the x-tengine scheme
	}{
		{"primary new, receiver knows the new", inNew, knowsNew, "x-tengine-signature"},
		{"primary new, receiver knows the old", inNew, knowsOld, "x-tengine-signature-previous"},
		{"primary previous, receiver knows the old", inPrevious, knowsOld, "x-tengine-signature"},
		{"primary previous, receiver knows the new", inPrevious, knowsNew, "x-tengine-signature-next"},
	} {
		tc.receiver.Post(t, "/", body, tc.signer.Sign(time.Now(), "evt_1", body).Headers())
		got := tc.receiver.Next(t)
		for mode, want := range map[string]string{"json": tc.header, "raw": tc.header, "standard": "webhook-signature"} {
			if diff := cmp.Diff([]string{want}, got.Verdicts[mode].Matches); diff != "" {
				t.Errorf("%s: %s: headers that hold (-want +got):\n%s", tc.name, mode, diff)
			}
		}
	}
}

func TestNodeReceiversRefuseWhatWasTamperedWith(t *testing.T) {
	body := `{"id":"evt_1","n":1}`
	r := node.Start(t, node.Options{Secret: secretA})
	for _, tc := range []struct {
		name   string
		change func(body *string, s *signer.Signatures)
		valid  map[string]bool // the verdicts that stay valid
	}{
		{"the body", func(b *string, _ *signer.Signatures) { *b = `{"id":"evt_1","n":2}` }, nil},
		{"x-tengine-signature", func(_ *string, s *signer.Signatures) { s.Tengine = flipLast(s.Tengine) },
			map[string]bool{"standard": true}},
		{"webhook-signature", func(_ *string, s *signer.Signatures) {
			s.Standard = "v1," + flipLast(s.Standard[3:10]) + s.Standard[10:]
		},
			map[string]bool{"json": true, "raw": true}},
		{"webhook-id", func(_ *string, s *signer.Signatures) { s.ID = "evt_2" },
			map[string]bool{"json": true, "raw": true}},
		{"webhook-timestamp", func(_ *string, s *signer.Signatures) { s.Timestamp = flipLast(s.Timestamp) },
			map[string]bool{"json": true, "raw": true}},
		{"nothing, but it was recorded an hour ago", func(b *string, s *signer.Signatures) {
			*s = signer.New([]webhook.Secret{{Value: secretA}}).Sign(time.Now().Add(-time.Hour), "evt_1", []byte(*b))
		}, map[string]bool{"json": true, "raw": true}},
		{"white space only: JSON.stringify cannot see it", func(b *string, _ *signer.Signatures) { *b += " " },
			map[string]bool{"json": true}},
	} {
		b := body
		s := signer.New([]webhook.Secret{{Value: secretA}}).Sign(time.Now(), "evt_1", []byte(b))
		tc.change(&b, &s)
		if status := r.Post(t, "/", []byte(b), s.Headers()); status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", tc.name, status)
		}
		for mode, v := range r.Next(t).Verdicts {
			if v.Valid != tc.valid[mode] {
				t.Errorf("%s: %s: valid is %v, want %v (%s)", tc.name, mode, v.Valid, tc.valid[mode], v.Error)
			}
		}
	}
}

// The cure is in docs/receivers.md: express.json({ limit: "512kb" }).
func TestExpressRefusesOver100kBUnlessTold(t *testing.T) {
	body, err := json.Marshal(strings.Repeat("x", 200<<10))
	if err != nil {
		t.Fatal(err)
	}
	body = []byte(`{"text":` + string(body) + `}`)
	s := signer.New([]webhook.Secret{{Value: secretA}}).Sign(time.Now(), "evt_1", body)
	for limit, want := range map[string]int{"100kb": 413, "512kb": 200} {
		r := node.Start(t, node.Options{Secret: secretA, Limit: limit})
		if got := r.Post(t, "/", body, s.Headers()); got != want {
			t.Errorf("limit %s: status %d, want %d", limit, got, want)
		}
	}
}

func TestReceiverAnswersAsTold(t *testing.T) {
	r := node.Start(t, node.Options{
		Statuses:        []int{500, 503, 204},
		Delay:           10 * time.Millisecond,
		ResponseHeaders: []string{"Retry-After: 7"},
	})
	for i, want := range []int{500, 503, 204, 204} {
		if got := r.Post(t, "/hook?x=1", []byte("{}"), unsigned); got != want {
			t.Errorf("answer %d: status %d, want %d", i+1, got, want)
		}
	}
	got := r.Records(t)
	for deadline := time.Now().Add(10 * time.Second); len(got) < 4 && time.Now().Before(deadline); got = r.Records(t) {
		time.Sleep(10 * time.Millisecond) // a record can come after its answer
	}
	if len(got) != 4 {
		t.Fatalf("%d records, want 4", len(got))
	}
	first := got[0]
	if first.Method != "POST" || first.URL != "/hook?x=1" || first.HTTPVersion != "1.1" ||
		first.Header("content-type") != "application/json" || first.RemoteAddress != "127.0.0.1" || len(first.Verdicts) != 0 {
		t.Errorf("record: %+v", first)
	}
}

func TestReceiverCanCloseWithoutAnAnswer(t *testing.T) {
	r := node.Start(t, node.Options{Statuses: []int{0, 200}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("status %d, want none", res.StatusCode)
	}
	if got := r.Post(t, "/", []byte("{}"), unsigned); got != http.StatusOK {
		t.Errorf("status %d, want 200", got)
	}
}

// flipLast changes the last character of a text, in a way that keeps digits digits.
func flipLast(s string) string {
	last := byte('1')
	if strings.HasSuffix(s, "1") {
		last = '2'
	}
	return s[:len(s)-1] + string(last)
}
