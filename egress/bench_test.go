package egress_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// BenchmarkRoundTrip compares one attempt on a kept connection with what
// net/http does for the same request.
func BenchmarkRoundTrip(b *testing.B) {
	address := rawServer(b, echo200)
	u := &url.URL{Scheme: "http", Host: address, Path: "/"}
	payload := bytes.Repeat([]byte("x"), 512)

	b.Run("egress", func(b *testing.B) {
		e := mustNew(b, local())
		run(b, u, payload, func(req *http.Request) (*http.Response, error) {
			resp, _, err := e.Transport(project, hook).RoundTrip(req)
			return resp, err
		})
	})
	b.Run("net_http", func(b *testing.B) {
		bare := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
		defer bare.CloseIdleConnections()
		run(b, u, payload, bare.RoundTrip)
	})
}

func run(b *testing.B, u *url.URL, payload []byte, roundTrip func(*http.Request) (*http.Response, error)) {
	b.ReportAllocs()
	ctx := b.Context()
	for b.Loop() {
		req := (&http.Request{
			Method: http.MethodPost, URL: u, Host: u.Host, Header: http.Header{},
			ProtoMajor: 1, ProtoMinor: 1,
			Body: io.NopCloser(bytes.NewReader(payload)), ContentLength: int64(len(payload)),
			GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil },
		}).WithContext(ctx)
		resp, err := roundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // empty
		_ = resp.Body.Close()
	}
}

// echo200 answers each request, which comes in one packet, without parsing it.
func echo200(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := io.WriteString(c, keepAlive); err != nil {
			return
		}
	}
}

func BenchmarkTransport(b *testing.B) {
	cfg := local()
	cfg.Sources = addrs("127.0.0.2", "127.0.0.3")
	e := mustNew(b, cfg)
	b.ReportAllocs()
	for b.Loop() {
		e.Transport(project, "wh_01J9Z3Q8M5X7T2C4V6B8N0K1D3")
	}
}

func BenchmarkCheckURL(b *testing.B) {
	e := mustNew(b, local())
	b.ReportAllocs()
	for b.Loop() {
		e.CheckURL(project, "https://your-app.example.com/webhook?x=1")
	}
}
