package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// demoReceiver is "caddy webhook listen" as a second process: the gateway never
// delivers to a port of its own process.
type demoReceiver struct {
	url  string
	cmd  *exec.Cmd
	done chan struct{} // closed when its output has ended
	last string        // its last line; read after done

	mu  sync.Mutex // makes one line of output one line
	out io.Writer
}

// startDemoReceiver starts a receiver that fails once, and copies its output.
func startDemoReceiver(ctx context.Context, out io.Writer, secret string) (*demoReceiver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &demoReceiver{out: out, done: make(chan struct{})}
	r.cmd = exec.CommandContext(ctx, self, "webhook", "listen", "--listen", "127.0.0.1:0", "--secret", "@-", "--fail-first", "1")
	r.cmd.Cancel = func() error { return r.cmd.Process.Signal(syscall.SIGTERM) }
	r.cmd.WaitDelay = 5 * time.Second
	r.cmd.Stdin = strings.NewReader(secret)
	r.cmd.Stderr = os.Stderr
	output, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(output)
	if !lines.Scan() {
		r.kill()
		return nil, errors.New("it said nothing")
	}
	if _, err := fmt.Sscanf(lines.Text(), "listening on %s", &r.url); err != nil {
		r.kill()
		return nil, fmt.Errorf("it said %q", lines.Text())
	}
	r.url = strings.TrimSuffix(r.url, ",") + "/webhook"
	go r.copy(lines)
	return r, nil
}

// copy prints what the receiver prints, until it ends.
func (r *demoReceiver) copy(lines *bufio.Scanner) {
	defer close(r.done)
	for lines.Scan() {
		r.say("%s\n", lines.Text())
		if lines.Text() != "" {
			r.last = lines.Text()
		}
	}
}

// say prints without mixing with what the receiver prints.
func (r *demoReceiver) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format, args...)
}

// stop ends the receiver and returns how many attempts it got and verified.
func (r *demoReceiver) stop() (attempts, verified int, err error) {
	_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended with a Ctrl-C
	<-r.done
	err = r.cmd.Wait() // the second of two signals may come when it is done and no longer minds them
	if _, unread := fmt.Sscanf(r.last, "attempts received: %d, verified: %d", &attempts, &verified); unread != nil {
		return 0, 0, errors.Join(err, fmt.Errorf("it ended with %q", r.last))
	}
	return attempts, verified, nil
}

// kill ends the receiver if it still runs.
func (r *demoReceiver) kill() {
	if r.cmd.ProcessState == nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
}
