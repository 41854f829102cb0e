package problem

import (
	"io"
	"net/http"
	"time"
)

const (
	mostLeft = 8 << 20 // bytes of a refused body that are read away
	leftTime = 2 * time.Second
)

// LeaveBody deals with what is left of the body of a request that is refused.
// It is called before the answer is written.
//
// A client that asks before it sends (Expect: 100-continue) is told at once.
// Others often read no answer before they have sent everything, and would see a
// broken connection instead of it, so up to 8 MiB are read away, for at most
// two seconds. What is more than that is left to net/http, which then closes
// the connection; by itself it would read nothing away for a request with
// "Connection: close", as some proxies send it.
func LeaveBody(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if r.ProtoMajor == 1 && r.Header.Get("Expect") != "" {
		w.Header().Set("Connection", "close") // it has not begun to send
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftTime)) // where it is not supported the server's limits hold
	_, _ = io.CopyN(io.Discard, r.Body, mostLeft)                               // whatever comes
}
