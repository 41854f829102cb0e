package caddymodule

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

const day = 24 * time.Hour

// What the numbers of the configuration may be. The Caddyfile is checked by
// them where it is read, so that errors have a line, and the JSON when it is
// loaded.
var (
	workersRange     = intRange{1, 65536}
	concurrencyRange = intRange{1, gateway.MaxConcurrency}
	pendingRange     = intRange{1, 1_000_000_000}
	maxWebhooksRange = intRange{1, 10_000_000}

	timeoutRange      = durationRange{gateway.MinTimeout, gateway.MaxTimeout, "1s to 30s"}
	retryStepRange    = durationRange{gateway.MinRetryStep, gateway.MaxRetryStep, "1s to 7d"}
	retentionRange    = durationRange{time.Second, 3650 * day, "1s to 3650d"}
	drainTimeoutRange = durationRange{0, 10 * time.Minute, "0s to 10m"}
)

// The values of unsafe_json.
const (
	unsafeReject   = "reject"
	unsafePreserve = "preserve"
)

var unsafeJSONChoices = []string{unsafeReject, unsafePreserve}

// intRange is the smallest and the largest value of a setting.
type intRange struct{ min, max int }

func (r intRange) check(n int) error {
	if n < r.min || n > r.max {
		return fmt.Errorf("it is %d, it must be %d to %d", n, r.min, r.max)
	}
	return nil
}

// sizeRange is the smallest and the largest value of a size in bytes.
type sizeRange struct{ min, max int64 }

func (r sizeRange) check(n int64) error {
	if n < r.min || n > r.max {
		return fmt.Errorf("it is %d bytes, it must be %d to %d (%s)", n, r.min, r.max, humanize.IBytes(uint64(r.max)))
	}
	return nil
}

// durationRange is the shortest and the longest value of a setting, and both as
// people write them.
type durationRange struct {
	min, max time.Duration
	text     string
}

func (r durationRange) check(d caddy.Duration) error {
	if time.Duration(d) < r.min || time.Duration(d) > r.max {
		return fmt.Errorf("it is %s, it must be %s", time.Duration(d), r.text)
	}
	return nil
}

func checkRetry(waits []caddy.Duration) error {
	if len(waits) > gateway.MaxRetrySteps {
		return fmt.Errorf("there are %d waits, there may be at most %d", len(waits), gateway.MaxRetrySteps)
	}
	for i, wait := range waits {
		if err := retryStepRange.check(wait); err != nil {
			return fmt.Errorf("wait %d: %w", i+1, err)
		}
	}
	return nil
}

// checkName checks the name of an API key or a webhook.
func checkName(name string) error {
	if !gateway.ValidName(name) {
		return fmt.Errorf("the name %q %s", name, gateway.NameRule)
	}
	return nil
}

// checkProjects checks a list of projects; an empty one is every project.
func checkProjects(ids []string) error {
	for _, id := range ids {
		if id == webhook.AllProjects {
			if len(ids) > 1 {
				return errors.New("* is every project: leave out the others")
			}
			continue
		}
		if !webhook.ValidProjectID(id) {
			return fmt.Errorf("%q is no project id: it has %s", id, webhook.ProjectIDRule)
		}
	}
	return nil
}

// projectsOf returns a checked list of projects, nil for every project.
func projectsOf(ids []string) []string {
	if slices.Contains(ids, webhook.AllProjects) {
		return nil
	}
	return ids
}

// check checks that the event types are well-formed and said in one way only.
func (t *EventTypes) check() error {
	ways := 0
	for _, used := range []bool{t.Any, len(t.Add) > 0, len(t.Only) > 0} {
		if used {
			ways++
		}
	}
	if ways != 1 {
		return errors.New("set one of any, add and only")
	}
	types := slices.Concat(t.Add, t.Only)
	for i, name := range types {
		if slices.Contains(types[:i], name) {
			return fmt.Errorf("%s is there twice", name)
		}
	}
	_, err := t.catalogue()
	return err
}

// catalogue returns the catalogue that the setting asks for. The nil setting is
// the built-in catalogue.
func (t *EventTypes) catalogue() (*webhook.Catalogue, error) {
	switch {
	case t == nil:
		return webhook.Builtin(), nil
	case t.Any:
		return webhook.Builtin().Any(), nil
	case len(t.Add) > 0:
		return webhook.Builtin().Extend(t.Add...)
	default:
		return webhook.Builtin().Replace(t.Only...)
	}
}

// parseAddresses reads IP addresses without zones.
func parseAddresses(texts []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			return nil, fmt.Errorf("%q is no IP address such as 192.0.2.1 or 2001:db8::1", text)
		}
		if slices.Contains(addrs, addr) {
			return nil, fmt.Errorf("%s is there twice", addr)
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// parseRange reads a range of IP addresses, or one address.
func parseRange(text string) (netip.Prefix, error) {
	var prefix netip.Prefix
	if strings.Contains(text, "/") {
		prefix, _ = netip.ParsePrefix(text)
	} else if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if !prefix.IsValid() || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a range such as 10.20.0.0/16 or fd00::/8", text)
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s is an address within a range: write %s for the range, or the address without the length", prefix, prefix.Masked())
	}
	return prefix, nil
}
