package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// stats is what the receiver tells of the events since the last reset.
type stats struct {
	Received int     `json:"received"`
	Seconds  float64 `json:"seconds"` // from the first event's sending to the last one's arrival
	Latency  latency `json:"latency"`
}

// latency is in milliseconds from sending to arrival.
type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// receiver counts what arrives and how long it took.
type receiver struct {
	mu        sync.Mutex
	firstSent int64 // Unix nanoseconds
	last      int64
	latencies []int64 // nanoseconds
}

func runReceiver(args []string) error {
	flags := flag.NewFlagSet("receiver", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	_ = flags.Parse(args) // exits on errors
	r := &receiver{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", func(http.ResponseWriter, *http.Request) { r.reset() })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(r.stats()) })
	mux.HandleFunc("/", r.receive)
	return (&http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// sentAt precedes the time of sending in an event's data.
var sentAt = []byte(`"sent_at":"`)

func (r *receiver) receive(_ http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	now := time.Now().UnixNano()
	_, rest, ok := bytes.Cut(body, sentAt)
	if !ok {
		return // somebody who waits for the start
	}
	digits, _, _ := bytes.Cut(rest, []byte(`"`))
	sent, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.firstSent == 0 || sent < r.firstSent {
		r.firstSent = sent
	}
	r.last = max(r.last, now)
	r.latencies = append(r.latencies, now-sent)
}

func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.firstSent, r.last, r.latencies = 0, 0, nil
}

func (r *receiver) stats() stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := stats{Received: len(r.latencies), Seconds: float64(r.last-r.firstSent) / 1e9}
	if len(r.latencies) == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(r.latencies))
	at := func(q float64) float64 { return float64(sorted[int(q*float64(len(sorted)-1))]) / 1e6 }
	s.Latency = latency{P50: at(.5), P99: at(.99)}
	return s
}
