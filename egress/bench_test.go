package egress_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// BenchmarkSend compares one attempt on a kept connection with what net/http
// does for the same request.
func BenchmarkSend(b *testing.B) {
	u := "http://" + rawServer(b, echo200) + "/"
	payload := bytes.Repeat([]byte("x"), 512)

	b.Run("egress", func(b *testing.B) {
		e := mustNew(b, local())
		r := request(b, u)
		r.Body = payload
		run(b, func(ctx context.Context) (*http.Response, error) {
			resp, _, err := e.Transport(project, hook).Send(ctx, r)
			return resp, err
		})
	})
	b.Run("net_http", func(b *testing.B) {
		bare := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
		defer bare.CloseIdleConnections()
		run(b, func(ctx context.Context) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(payload))
			if err != nil {
				return nil, err
			}
			return bare.RoundTrip(req)
		})
	})
}

func run(b *testing.B, send func(context.Context) (*http.Response, error)) {
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		resp, err := send(ctx)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // empty
		_ = resp.Body.Close()
		cancel()
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
