package dispatch_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// patience bounds what would take very long otherwise. How long it is meant to
// take, to the nanosecond, is in TestBudgetEndsOnTime.
const patience = time.Minute

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// received is one request as a receiver got it.
type received struct {
	line   string
	header map[string]string // by lower-case name
	body   string
}

// receive sends one attempt and returns what arrived.
func receive(t *testing.T, r func(addr string) *dispatch.Receiver, d *webhook.Delivery, trigger webhook.Trigger) received {
	t.Helper()
	got := make(chan received, 1)
	s := serveRaw(t, func(s *rawServer, head, body string, c net.Conn) bool {
		tp := textproto.NewReader(bufio.NewReader(strings.NewReader(head)))
		line, _ := tp.ReadLine()
		mime, _ := tp.ReadMIMEHeader()
		header := map[string]string{}
		for name, values := range mime {
			header[strings.ToLower(name)] = strings.Join(values, "\n")
		}
		got <- received{line, header, body}
		return says(ok200)(s, head, body, c)
	})
	a, v := dispatch.NewSender(nil).Send(t.Context(), r(s.addr), newEvent("proj_1", time.Now()), d, 3, trigger)
	if v.Decision != dispatch.Delivered {
		t.Fatalf("not delivered: %+v", a)
	}
	return <-got
}

func TestRequestHasExactlyTheContractsHeaders(t *testing.T) {
	t.Parallel()
	var addr string
	got := receive(t, func(a string) *dispatch.Receiver {
		addr = a
		return newReceiver(t, a, webhook.Header{Name: "X-Custom-Header", Value: "custom-value"})
	}, &webhook.Delivery{ID: "dlv_1"}, webhook.BySchedule)

	if want := "POST /hook?x=1 HTTP/1.1"; got.line != want {
		t.Errorf("request line %q, want %q", got.line, want)
	}
	body := string(newEvent("", time.Time{}).Body)
	if got.body != body {
		t.Errorf("body %s, want %s", got.body, body)
	}
	if err := signer.VerifyRequest(http.Header{
		"Webhook-Id":          {got.header["webhook-id"]},
		"Webhook-Timestamp":   {got.header["webhook-timestamp"]},
		"Webhook-Signature":   {got.header["webhook-signature"]},
		"X-Tengine-Signature": {got.header["x-tengine-signature"]},
	}, []byte(got.body), testSecret); err != nil {
		t.Errorf("the signatures do not verify: %v", err)
	}
	for _, signed := range []string{"webhook-timestamp", "webhook-signature", "x-tengine-signature"} {
		if got.header[signed] == "" {
			t.Errorf("header %s is missing", signed)
		}
		delete(got.header, signed)
	}
	want := map[string]string{
		"host":               addr,
		"content-length":     fmt.Sprint(len(body)),
		"content-type":       "application/json",
		"user-agent":         "Tengine-Webhooks/1",
		"x-tengine-event":    "project.created",
		"x-tengine-delivery": "dlv_1",
		"x-tengine-attempt":  "3",
		"webhook-id":         "evt_1",
		"x-custom-header":    "custom-value",
	}
	if diff := cmp.Diff(want, got.header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestOnlyTestEventsCarryTheTestHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		test    bool
		trigger webhook.Trigger
		want    string
	}{
		{false, webhook.BySchedule, ""},
		{false, webhook.Manually, ""},
		{false, webhook.ByTest, "true"},
		{true, webhook.ByTest, "true"},
		{true, webhook.Manually, "true"}, // a test event, sent again by hand
	} {
		got := receive(t, func(a string) *dispatch.Receiver { return newReceiver(t, a) },
			&webhook.Delivery{ID: "dlv_1", Test: c.test}, c.trigger)
		if v := got.header["x-tengine-test"]; v != c.want {
			t.Errorf("test %v, trigger %s: x-tengine-test is %q, want %q", c.test, c.trigger, v, c.want)
		}
	}
}

func TestSystemHeadersWinOverCustomOnes(t *testing.T) {
	t.Parallel()
	var custom []webhook.Header
	names := []string{
		"content-type", "User-Agent", "x-tengine-signature", "X-Tengine-Signature-Previous", "X-TENGINE-EVENT",
		"x-tengine-test", "webhook-id", "webhook-signature", "Idempotency-Key", "X-Idempotency-Key",
		"Accept-Encoding", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Content-Encoding",
	}
	for _, name := range names {
		custom = append(custom, webhook.Header{Name: name, Value: "evil"})
	}
	got := receive(t, func(a string) *dispatch.Receiver { return newReceiver(t, a, custom...) },
		&webhook.Delivery{ID: "dlv_1"}, webhook.BySchedule)
	for name, value := range got.header {
		if strings.Contains(value, "evil") {
			t.Errorf("custom header %s got through", name)
		}
	}
}

func TestRotationSendsBothSignatures(t *testing.T) {
	t.Parallel()
	for role, header := range map[webhook.SecretRole]string{
		webhook.SecretPrevious: "x-tengine-signature-previous",
		webhook.SecretNext:     "x-tengine-signature-next",
	} {
		got := receive(t, func(a string) *dispatch.Receiver {
			r := newReceiver(t, a)
			r.Signer = signer.New([]webhook.Secret{
				{Value: testSecret, Role: webhook.SecretPrimary},
				{Value: "another secret of this webhook", Role: role, ExpiresAt: time.Now().Add(time.Hour)},
			})
			return r
		}, &webhook.Delivery{ID: "dlv_1"}, webhook.BySchedule)
		if got.header[header] == "" || got.header[header] == got.header["x-tengine-signature"] {
			t.Errorf("%s is %q beside %q", header, got.header[header], got.header["x-tengine-signature"])
		}
		if n := len(strings.Fields(got.header["webhook-signature"])); n != 2 {
			t.Errorf("webhook-signature has %d signatures, want 2", n)
		}
	}
}

func TestOutcomesOfAResponse(t *testing.T) {
	t.Parallel()
	status := func(line string) string { return "HTTP/1.1 " + line + "\r\nContent-Length: 0\r\n\r\n" }
	for _, c := range []struct {
		response string
		outcome  webhook.Outcome
		code     int
		decision dispatch.Decision
	}{
		{status("200 OK"), webhook.Success, 200, dispatch.Delivered},
		{"HTTP/1.1 204 No Content\r\n\r\n", webhook.Success, 204, dispatch.Delivered},
		{status("299 Odd"), webhook.Success, 299, dispatch.Delivered},
		{"HTTP/1.1 103 Early Hints\r\n\r\n" + status("201 Created"), webhook.Success, 201, dispatch.Delivered},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", webhook.HTTP1xx, 101, dispatch.Retry},
		{status("099 Odd"), webhook.BadResponse, 99, dispatch.Retry},
		{status("300 Multiple Choices"), webhook.HTTP3xx, 300, dispatch.Retry},
		{"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", webhook.HTTP3xx, 302, dispatch.Retry},
		{"HTTP/1.1 304 Not Modified\r\n\r\n", webhook.HTTP3xx, 304, dispatch.Retry},
		{status("400 Bad Request"), webhook.HTTP4xx, 400, dispatch.Retry},
		{status("404 Not Found"), webhook.HTTP4xx, 404, dispatch.Retry},
		{status("410 Gone"), webhook.HTTP4xx, 410, dispatch.Gone},
		{status("429 Too Many Requests"), webhook.HTTP4xx, 429, dispatch.Retry},
		{status("499 Odd"), webhook.HTTP4xx, 499, dispatch.Retry},
		{status("500 Internal Server Error"), webhook.HTTP5xx, 500, dispatch.Retry},
		{status("599 Odd"), webhook.HTTP5xx, 599, dispatch.Retry},
		{status("600 Odd"), webhook.BadResponse, 600, dispatch.Retry},
		{status("999 Odd"), webhook.BadResponse, 999, dispatch.Retry},
		{"SSH-2.0-OpenSSH_9.7\r\n", webhook.BadResponse, 0, dispatch.Retry},
		{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70_000) + "\r\n\r\n", webhook.HeadersTooLarge, 0, dispatch.Retry},
		{"", webhook.Reset, 0, dispatch.Retry},
	} {
		s := serveRaw(t, saysAndCloses(c.response))
		a, v := send(t, newReceiver(t, s.addr))
		name := c.response[:min(len(c.response), 30)]
		if a.Outcome != c.outcome || a.StatusCode != c.code || v.Decision != c.decision {
			t.Errorf("%q: outcome %s, status %d, decision %d (%s), want %s, %d, %d",
				name, a.Outcome, a.StatusCode, v.Decision, a.Error, c.outcome, c.code, c.decision)
		}
		if (a.Error == "") != (a.Outcome == webhook.Success) {
			t.Errorf("%q: error is %q", name, a.Error)
		}
		if a.Number != 3 || a.Trigger != webhook.BySchedule || a.StartedAt.IsZero() || a.Duration <= 0 || a.RemoteIP != "127.0.0.1" {
			t.Errorf("%q: attempt %+v is not filled in", name, a)
		}
	}
}

func TestNothingListeningIsAFailureToConnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	a, v := send(t, newReceiver(t, l.Addr().String()))
	if a.Outcome != webhook.Connect || v.Decision != dispatch.Retry {
		t.Errorf("outcome %s, decision %d, want %s, %d", a.Outcome, v.Decision, webhook.Connect, dispatch.Retry)
	}
}

func TestReceiverWithoutAnAnswerTimesOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]string{
		"silence":                "",
		"interim responses":      "HTTP/1.1 103 Early Hints\r\n\r\n",
		"headers that never end": "HTTP/1.1 200 OK\r\nX: y\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveRaw(t, func(s *rawServer, head, body string, conn net.Conn) bool {
				says(c)(s, head, body, conn)
				<-s.done
				return false
			})
			r := newReceiver(t, s.addr)
			r.Timeout = 200 * time.Millisecond
			a, v := send(t, r)
			if a.Outcome != webhook.Timeout || a.StatusCode != 0 || v.Decision != dispatch.Retry {
				t.Errorf("outcome %s, status %d, decision %d (%s)", a.Outcome, a.StatusCode, v.Decision, a.Error)
			}
			if a.Duration < r.Timeout || a.Duration > patience {
				t.Errorf("it took %v, want %v", a.Duration, r.Timeout)
			}
		})
	}
}

func TestTheTimeForTheBodyIsBesideTheTimeout(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, func(s *rawServer, head, body string, c net.Conn) bool {
		says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")(s, head, body, c)
		time.Sleep(600 * time.Millisecond) // longer than the timeout, shorter than a second
		return says("late")(s, head, body, c)
	})
	r := newReceiver(t, s.addr)
	r.Timeout = 500 * time.Millisecond
	a, v := send(t, r)
	if v.Decision != dispatch.Delivered || string(a.ResponseBody) != "late" || a.ResponseTruncated {
		t.Errorf("decision %d, body %q, truncated %v, want the whole body", v.Decision, a.ResponseBody, a.ResponseTruncated)
	}
	if a.Duration > r.Timeout {
		t.Errorf("the duration %v counts the body", a.Duration)
	}
}

func TestAttemptCutShortIsNotMade(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := serveRaw(t, func(s *rawServer, _, _ string, _ net.Conn) bool {
		close(arrived)
		<-s.done
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	_, v := dispatch.NewSender(nil).Send(ctx, newReceiver(t, s.addr), newEvent("proj_1", time.Now()),
		&webhook.Delivery{ID: "dlv_1"}, 1, webhook.BySchedule)
	if v.Decision != dispatch.NotMade {
		t.Errorf("decision %d, want %d", v.Decision, dispatch.NotMade)
	}
}

func TestResponseHeadersAreRecordedUpToALimit(t *testing.T) {
	t.Parallel()
	response := "HTTP/1.1 200 OK\r\nX-B: 1\r\nX-A: 1\r\nX-A: 2\r\nX-Long: " + strings.Repeat("x", 9000) + "\r\nContent-Length: 0\r\n\r\n"
	a, _ := send(t, newReceiver(t, serveRaw(t, says(response)).addr))
	want := []webhook.Header{{Name: "Content-Length", Value: "0"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}, {Name: "X-B", Value: "1"}}
	if diff := cmp.Diff(want, a.ResponseHeaders); diff != "" {
		t.Errorf("response headers (-want +got):\n%s", diff)
	}
}

func TestSecretResponseHeadersAreNotRecorded(t *testing.T) {
	t.Parallel()
	a, _ := send(t, newReceiver(t, serveRaw(t, says("HTTP/1.1 204 No Content\r\nSet-Cookie: session=1\r\nX-Api-Key: 2\r\n\r\n")).addr))
	want := []webhook.Header{{Name: "Set-Cookie", Value: webhook.Masked}, {Name: "X-Api-Key", Value: webhook.Masked}}
	if diff := cmp.Diff(want, a.ResponseHeaders); diff != "" {
		t.Errorf("response headers (-want +got):\n%s", diff)
	}
}

// A receiver that sends back what it got would show its secrets to whoever may
// read the log.
func TestSecretsThatComeBackAreNotRecorded(t *testing.T) {
	t.Parallel()
	body := `{"authorization":"Bearer hush-hush-1","token":"hush-hush-1","x-api-key":"hush-hush-2","x-plain":"not-secret","x-key":"short"}`
	response := "HTTP/1.1 400 Bad Request\r\nX-Echo: key=hush-hush-2\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	a, _ := send(t, newReceiver(t, serveRaw(t, says(response)).addr,
		webhook.Header{Name: "Authorization", Value: "Bearer hush-hush-1"}, webhook.Header{Name: "X-Api-Key", Value: "hush-hush-2"},
		webhook.Header{Name: "X-Plain", Value: "not-secret"}, webhook.Header{Name: "X-Key", Value: "short"}))
	want := `{"authorization":"********","token":"********","x-api-key":"********","x-plain":"not-secret","x-key":"short"}`
	if got := string(a.ResponseBody); got != want {
		t.Errorf("response body %s, want %s", got, want)
	}
	if h := a.ResponseHeaders[1]; h.Value != "key=********" {
		t.Errorf("response header %v", h)
	}
}

func TestSecretsAreMaskedAtTheEndOfABodyThatIsCut(t *testing.T) {
	t.Parallel()
	const secret = "straddle-secret-abcdefgh"
	for n := 1; n <= len(secret); n++ {
		body := strings.Repeat(".", webhook.MaxResponseBody-n) + secret + strings.Repeat(".", 100)
		response := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		a, _ := send(t, newReceiver(t, serveRaw(t, says(response)).addr, webhook.Header{Name: "X-Api-Token", Value: secret}))
		if rest := strings.Trim(string(a.ResponseBody), "."); len(strings.Trim(rest, "*")) > 3 || !a.ResponseTruncated || len(a.ResponseBody) > webhook.MaxResponseBody {
			t.Errorf("with %d characters before the cut %q is recorded, %d bytes", n, rest, len(a.ResponseBody))
		}
	}
}

func TestSecretsAreMaskedAsJSONHasThem(t *testing.T) {
	t.Parallel()
	body := `{"a":"tok\/with\/slash","b":"tok/with/slash","c":"a \"quoted\" one"}`
	response := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	a, _ := send(t, newReceiver(t, serveRaw(t, says(response)).addr,
		webhook.Header{Name: "X-Token", Value: "tok/with/slash"}, webhook.Header{Name: "X-Secret", Value: `a "quoted" one`}))
	if got, want := string(a.ResponseBody), `{"a":"********","b":"********","c":"********"}`; got != want {
		t.Errorf("%s is recorded, want %s", got, want)
	}
}

func TestResponseBodyIsReadWithinBoundsAndNeverChangesTheOutcome(t *testing.T) {
	t.Parallel()
	sized := func(n int) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n))
	}
	chunked := func(n int) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", n))
	}
	const limit = webhook.MaxResponseBody
	for name, c := range map[string]struct {
		response  string
		want      int
		truncated bool
		reused    bool
	}{
		"none":                         {"HTTP/1.1 204 No Content\r\n\r\n", 0, false, true},
		"empty":                        {sized(0), 0, false, true},
		"small":                        {sized(2), 2, false, true},
		"small, chunked":               {chunked(2), 2, false, true},
		"at the limit":                 {sized(limit), limit, false, true},
		"at the limit, chunked":        {chunked(limit), limit, false, true},
		"one over":                     {sized(limit + 1), limit, true, false},
		"one over, chunked":            {chunked(limit + 1), limit, true, false},
		"large":                        {sized(4 << 20), limit, true, false},
		"shorter than promised":        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this", 9, true, false},
		"broken chunks":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", 2, true, false},
		"to the end of the connection": {"HTTP/1.0 200 OK\r\n\r\nok", 2, false, false},
		"compressed, and not inflated": {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 3, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := says(c.response)
			if !c.reused {
				answer = saysAndCloses(c.response)
			}
			s := serveRaw(t, answer)
			r := newReceiver(t, s.addr)
			const sends = 5
			for range sends {
				a, v := send(t, r)
				if v.Decision != dispatch.Delivered || a.Outcome != webhook.Success || a.Error != "" {
					t.Fatalf("decision %d, outcome %s, error %q, want a success", v.Decision, a.Outcome, a.Error)
				}
				if len(a.ResponseBody) != c.want || a.ResponseTruncated != c.truncated {
					t.Errorf("%d bytes, truncated %v, want %d, %v", len(a.ResponseBody), a.ResponseTruncated, c.want, c.truncated)
				}
			}
			if n := s.connections.Load(); c.reused && n != 1 || !c.reused && n != sends {
				t.Errorf("%d connections for %d attempts, reused should be %v", n, sends, c.reused)
			}
		})
	}
}

func TestConnectionWithAnUnreadBodyIsClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan error, 1)
	s := serveRaw(t, func(s *rawServer, head, body string, c net.Conn) bool {
		says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 20_000))(s, head, body, c)
		_, err := io.ReadFull(c, make([]byte, 1)) // ends when the gateway hangs up
		closed <- err
		return false
	})
	send(t, newReceiver(t, s.addr))
	select {
	case <-closed:
	case <-time.After(patience):
		t.Errorf("the connection is still open after %v", patience)
	}
}

func TestDripFeedingReceiverHoldsAnAttemptForASecond(t *testing.T) {
	t.Parallel()
	s := serveRaw(t, func(s *rawServer, head, body string, c net.Conn) bool {
		says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")(s, head, body, c)
		for says("x")(s, head, body, c) {
			select {
			case <-s.done:
				return false
			case <-time.After(10 * time.Millisecond):
			}
		}
		return false
	})
	began := time.Now()
	a, v := send(t, newReceiver(t, s.addr))
	if d := time.Since(began); d < 900*time.Millisecond || d > patience { // the whole body takes hours
		t.Errorf("the attempt took %v, want 1s", d)
	}
	if v.Decision != dispatch.Delivered || a.Outcome != webhook.Success || !a.ResponseTruncated || len(a.ResponseBody) < 10 {
		t.Errorf("decision %d, outcome %s, truncated %v, %d bytes", v.Decision, a.Outcome, a.ResponseTruncated, len(a.ResponseBody))
	}
}

func TestSendingPanicsAreAttemptsThatFailed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "127.0.0.1:1")
	r.Transport = nil
	a, v := send(t, r)
	if a.Outcome != webhook.Panicked || a.Error == "" || v.Decision != dispatch.Retry {
		t.Errorf("outcome %s, error %q, decision %d", a.Outcome, a.Error, v.Decision)
	}
}

func TestReceiverTakesItsOwnSettingsBeforeTheGateways(t *testing.T) {
	t.Parallel()
	settings := dispatch.Settings{Timeout: 7 * time.Second, Schedule: []time.Duration{time.Second}, Concurrency: 3, UserAgent: "ours/2"}
	resolve := func(sub webhook.Subscription) *dispatch.Receiver {
		sub.URL = "https://example.com/"
		r, err := dispatch.NewReceiver(&sub, signer.New(nil), nil, settings)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, c := range map[string]struct {
		r           *dispatch.Receiver
		timeout     time.Duration
		steps       int
		concurrency int
		userAgent   string
	}{
		"gateway": {resolve(webhook.Subscription{}), 7 * time.Second, 1, 3, "ours/2"},
		"webhook": {
			resolve(webhook.Subscription{Timeout: time.Second, Retry: []time.Duration{}, Concurrency: 9}),
			time.Second, 0, 9, "ours/2",
		},
	} {
		agent := webhook.Header{Name: "User-Agent", Value: c.userAgent}
		if c.r.Timeout != c.timeout || len(c.r.Schedule) != c.steps || c.r.Concurrency != c.concurrency || !slices.Contains(c.r.Header, agent) {
			t.Errorf("%s: %v, %v, %d, %v", name, c.r.Timeout, c.r.Schedule, c.r.Concurrency, c.r.Header)
		}
	}
	const secretive = "https://example.com:port/?token=t0psecret"
	if _, err := dispatch.NewReceiver(&webhook.Subscription{URL: secretive}, nil, nil, settings); err == nil || strings.Contains(err.Error(), "t0psecret") {
		t.Errorf("error %v, want one that does not repeat the URL", err)
	}
}
