// Command bench measures the gateway against a plain Caddy reverse_proxy on
// the same machine in the same run:
//
//	go run ./bench
//
// It builds the gateway and starts it with its default configuration (the
// address guard opened for loopback only), the same binary as a plain
// reverse_proxy, a receiver, and a load generator, each as its own process.
// The two take turns, round by round; the medians are printed as ratios,
// because absolute figures say more about the machine than about the gateway.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

// plan says how much is measured. All loops are bounded by it.
type plan struct {
	rounds      int
	events      int // of one throughput round
	connections int
	size        int // of an event as it is posted, in bytes
	latencyRate int // events a second
	latencyFor  time.Duration
	memory      int // events before the second look at the memory
	dir         string
	profile     string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "receiver":
			exit(runReceiver(os.Args[2:]))
		case "load":
			exit(runLoad(os.Args[2:]))
		}
	}
	var p plan
	flag.IntVar(&p.rounds, "rounds", 3, "rounds of each measurement")
	flag.IntVar(&p.events, "events", 40_000, "events of one throughput round")
	flag.IntVar(&p.connections, "connections", 64, "connections that publish")
	flag.IntVar(&p.size, "size", 500, "bytes of an event as it is posted")
	flag.IntVar(&p.latencyRate, "rate", 50, "events a second while latency is measured")
	flag.DurationVar(&p.latencyFor, "latency-for", 5*time.Second, "duration of one latency round")
	flag.IntVar(&p.memory, "memory", 100_000, "events before resident memory is read again")
	flag.StringVar(&p.dir, "dir", os.TempDir(), "where the store goes: use a real disk, not tmpfs")
	flag.StringVar(&p.profile, "cpuprofile", "", "write a CPU profile of the gateway's first throughput round to this file")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := measure(ctx, p)
	if err == nil {
		r.print()
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// report is what was measured.
type report struct {
	plan
	proxy, gateway figures
	idle, after    float64 // resident memory of the gateway, MiB
}

// figures are those of one side, by round.
type figures struct {
	rates     []float64 // events a second
	cpu       []float64 // processor time, µs per event
	latencies []latency
}

// measure starts everything and measures it, round by round.
func measure(ctx context.Context, p plan) (*report, error) {
	dir, err := os.MkdirTemp(p.dir, "webhook-gateway-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)

	b := bench{plan: p, dir: dir}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	r := report{plan: p}
	if r.idle, err = b.gateway.residentMemory(); err != nil {
		return nil, err
	}
	for i := range p.rounds {
		if err := b.throughputRound(ctx, &r, i); err != nil {
			return nil, err
		}
	}
	for i := range p.rounds {
		if err := b.latencyRound(ctx, &r, i); err != nil {
			return nil, err
		}
	}
	if missing := p.memory - p.rounds*p.events; missing > 0 {
		if _, err := b.send(ctx, b.gatewayURL, missing, 0); err != nil {
			return nil, fmt.Errorf("memory: %w", err)
		}
	}
	r.after, err = b.gateway.residentMemory()
	return &r, err
}

func (b *bench) throughputRound(ctx context.Context, r *report, i int) error {
	proxyRate, proxyCPU, err := b.throughput(ctx, b.proxy, b.proxyURL)
	if err != nil {
		return fmt.Errorf("proxy, round %d: %w", i+1, err)
	}
	b.profileFirst(i)
	gatewayRate, gatewayCPU, err := b.throughput(ctx, b.gateway, b.gatewayURL)
	if err != nil {
		return fmt.Errorf("gateway, round %d: %w", i+1, err)
	}
	fmt.Fprintf(os.Stderr, "round %d: proxy %.0f/s, gateway %.0f/s, ratio %.2f, processor time %.0f and %.0f µs\n",
		i+1, proxyRate, gatewayRate, gatewayRate/proxyRate, proxyCPU, gatewayCPU)
	r.proxy.rates, r.gateway.rates = append(r.proxy.rates, proxyRate), append(r.gateway.rates, gatewayRate)
	r.proxy.cpu, r.gateway.cpu = append(r.proxy.cpu, proxyCPU), append(r.gateway.cpu, gatewayCPU)
	return nil
}

func (b *bench) latencyRound(ctx context.Context, r *report, i int) error {
	proxy, err := b.latency(ctx, b.proxyURL)
	if err != nil {
		return fmt.Errorf("proxy latency, round %d: %w", i+1, err)
	}
	gateway, err := b.latency(ctx, b.gatewayURL)
	if err != nil {
		return fmt.Errorf("gateway latency, round %d: %w", i+1, err)
	}
	r.proxy.latencies, r.gateway.latencies = append(r.proxy.latencies, proxy), append(r.gateway.latencies, gateway)
	return nil
}

// print writes the table of medians to standard output.
func (r *report) print() {
	fmt.Printf("| measure | reverse_proxy | gateway | gateway / proxy |\n|---|---|---|---|\n")
	row := func(name, format string, of func(figures) []float64) {
		proxy, gateway := median(of(r.proxy)), median(of(r.gateway))
		fmt.Printf("| %s | "+format+" | "+format+" | %.2f |\n", name, proxy, gateway, gateway/proxy)
	}
	row(fmt.Sprintf("events/s end to end, %d connections, %d bytes", r.connections, r.size), "%.0f",
		func(f figures) []float64 { return f.rates })
	row("processor time of that, µs per event", "%.0f",
		func(f figures) []float64 { return f.cpu })
	row(fmt.Sprintf("latency at %d events/s, median, ms", r.latencyRate), "%.2f",
		func(f figures) []float64 { return pick(f.latencies, func(l latency) float64 { return l.P50 }) })
	row(fmt.Sprintf("latency at %d events/s, 99th percentile, ms", r.latencyRate), "%.2f",
		func(f figures) []float64 { return pick(f.latencies, func(l latency) float64 { return l.P99 }) })
	fmt.Printf("| resident memory idle, MiB | | %.0f | |\n", r.idle)
	fmt.Printf("| resident memory after %d events, MiB | | %.0f | |\n", max(r.memory, r.rounds*r.events), r.after)
}

// bench holds the processes that take part.
type bench struct {
	plan

	dir       string
	self      string
	receiver  *process
	proxy     *process
	gateway   *process
	admin     string // of the gateway
	control   string // of the receiver
	processes []*process

	proxyURL, gatewayURL string
}

// start builds the gateway and starts everything but the load.
func (b *bench) start(ctx context.Context) error {
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	binary := filepath.Join(b.dir, "webhook-gateway")
	if err := build(ctx, binary); err != nil {
		return err
	}
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	target := fmt.Sprintf("127.0.0.1:%d", ports[0])
	b.control = "http://" + target
	b.admin = fmt.Sprintf("127.0.0.1:%d", ports[3])
	b.proxyURL = fmt.Sprintf("http://127.0.0.1:%d/", ports[1])
	b.gatewayURL = fmt.Sprintf("http://127.0.0.1:%d/events", ports[2])

	if b.receiver, err = b.launch("receiver", b.self, "receiver", "-listen", target); err != nil {
		return err
	}
	proxyFile, err := b.write("proxy.Caddyfile", proxyConfig(ports[4], ports[1], target))
	if err != nil {
		return err
	}
	if b.proxy, err = b.launch("proxy", binary, "run", "--config", proxyFile, "--adapter", "caddyfile"); err != nil {
		return err
	}
	gatewayFile, err := b.write("gateway.Caddyfile", gatewayConfig(b.admin, ports[2], filepath.Join(b.dir, "store"), target))
	if err != nil {
		return err
	}
	if b.gateway, err = b.launch("gateway", binary, "run", "--config", gatewayFile, "--adapter", "caddyfile"); err != nil {
		return err
	}
	for _, url := range []string{b.control + "/stats", b.proxyURL, b.gatewayURL} {
		if err := waitFor(ctx, url); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second) // what starting left behind settles before memory is read
	return nil
}

func (b *bench) stop() {
	for _, p := range slices.Backward(b.processes) {
		p.stop()
	}
}

// throughput returns how many events a second arrive at the receiver when they
// are published as fast as the connections take them, and how many microseconds
// of processor time p took for each.
func (b *bench) throughput(ctx context.Context, p *process, url string) (rate, cpu float64, err error) {
	before, err := p.cpuTime()
	if err != nil {
		return 0, 0, err
	}
	if rate, err = b.send(ctx, url, b.events, 0); err != nil {
		return 0, 0, err
	}
	after, err := p.cpuTime()
	return rate, float64((after - before).Microseconds()) / float64(b.events), err
}

// latency publishes at a steady, low rate and returns how long events take to
// the receiver.
func (b *bench) latency(ctx context.Context, url string) (latency, error) {
	n := int(b.latencyFor.Seconds() * float64(b.latencyRate))
	if _, err := b.send(ctx, url, n, b.latencyRate); err != nil {
		return latency{}, err
	}
	s, err := b.stats(ctx)
	return s.Latency, err
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

func pick(ls []latency, f func(latency) float64) []float64 {
	v := make([]float64, len(ls))
	for i, l := range ls {
		v[i] = f(l)
	}
	return v
}
