package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build builds the gateway as Caddy is built.
func build(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-tags", "nobadger,nomysql,nopgx",
		"-o", binary, "github.com/tengineai/webhook-gateway/cmd/webhook-gateway")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the gateway: %w", err)
	}
	return nil
}

const ingestKey = "an-ingest-key-for-the-benchmark"

func proxyConfig(admin, port int, target string) string {
	return fmt.Sprintf(`{
	admin 127.0.0.1:%d
	auto_https off
}
http://127.0.0.1:%d {
	reverse_proxy %s
}
`, admin, port, target)
}

func gatewayConfig(admin string, port int, dir, target string) string {
	return fmt.Sprintf(`{
	admin %s
	auto_https off
	grace_period 3s
	webhook_gateway {
		store badger {
			dir %s
		}
		egress {
			allow 127.0.0.0/8
			allow_http
		}
		api_key bench %s {
			scope ingest
		}
		webhook bench {
			project *
			url http://%s/
			events *
			secret a-secret-for-the-benchmark
		}
	}
}
http://127.0.0.1:%d {
	webhook_ingest /events
	respond 404
}
`, admin, dir, ingestKey, target, port)
}

// process is a program of the benchmark.
type process struct {
	name string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func (b *bench) launch(name, binary string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(binary, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(b.dir, name), "XDG_CONFIG_HOME="+filepath.Join(b.dir, name))
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	b.processes = append(b.processes, p)
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	timer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait() // ended by a signal, which counts as an error
}

// residentMemory returns the resident set of the process in MiB, file pages
// included (proc(5), VmRSS).
func (p *process) residentMemory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("memory of %s: not told by the system", p.name)
}

// cpuTime returns the processor time the process has used, of user and kernel
// (proc(5), stat: utime and stime, in ticks of 10 ms).
func (p *process) cpuTime() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third field on
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of %s: not told by the system", p.name)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// write writes a file into the directory of the benchmark.
func (b *bench) write(name, text string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// freePorts returns TCP ports of loopback that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// waitFor waits until somebody answers HTTP at url, whatever the answer.
func waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody answers at %s: %w", url, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send publishes n events, waits until all have arrived, and returns how many
// arrived a second. A rate of 0 is as fast as it goes.
func (b *bench) send(ctx context.Context, url string, n, rate int) (float64, error) {
	if err := b.call(ctx, http.MethodPost, "/reset", nil); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, b.self, "load", "-url", url, "-events", strconv.Itoa(n), "-rate", strconv.Itoa(rate),
		"-connections", strconv.Itoa(b.connections), "-size", strconv.Itoa(b.size))
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		s, err := b.stats(ctx)
		if err != nil {
			return 0, err
		}
		if s.Received >= n {
			return float64(n) / s.Seconds, nil
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("of %d events only %d arrived", n, s.Received)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (b *bench) stats(ctx context.Context) (stats, error) {
	var s stats
	return s, b.call(ctx, http.MethodGet, "/stats", &s)
}

// call calls the receiver's control routes.
func (b *bench) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, b.control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// profileFirst takes a CPU profile of the gateway during the first round.
func (b *bench) profileFirst(round int) {
	if b.profile == "" || round > 0 {
		return
	}
	go func() {
		resp, err := http.Get("http://" + b.admin + "/debug/pprof/profile?seconds=3")
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: profile:", err)
			return
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err == nil {
			err = os.WriteFile(b.profile, data, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: profile:", err)
		}
	}()
}
