// Command receiver-go receives webhooks with Go's standard library alone.
//
//	WEBHOOK_SECRET=... go run main.go
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type event struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type receiver struct {
	secret []byte
	inbox  chan event

	mu   sync.Mutex
	seen map[string]bool // in production: a table with a unique event id
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		log.Fatal("WEBHOOK_SECRET is not set")
	}
	r := &receiver{secret: []byte(secret), inbox: make(chan event, 1000), seen: map[string]bool{}}
	go r.work()

	ln, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s/webhook\n", ln.Addr())
	mux := http.NewServeMux()
	mux.Handle("POST /webhook", r)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(ln))
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 512<<10))
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusBadRequest)
		return
	}
	if !r.verified(req.Header, body) {
		http.Error(w, "invalid signature", http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	if !r.accept(e) {
		http.Error(w, "too busy", http.StatusServiceUnavailable) // it will be sent again
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) verified(h http.Header, body []byte) bool {
	mac := hmac.New(sha256.New, r.secret)
	mac.Write(body)
	want := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	// While secrets rotate, the other secret signs the -previous or -next header.
	for _, name := range []string{"X-Tengine-Signature", "X-Tengine-Signature-Previous", "X-Tengine-Signature-Next"} {
		if hmac.Equal([]byte(h.Get(name)), []byte(want)) {
			return true
		}
	}
	return false
}

// accept takes e for later. In production: insert it into your database.
func (r *receiver) accept(e event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e.ID] {
		return true
	}
	select {
	case r.inbox <- e:
		r.seen[e.ID] = true
		return true
	default:
		return false
	}
}

func (r *receiver) work() {
	for e := range r.inbox {
		fmt.Println("handled", e.ID, e.Type)
	}
}
