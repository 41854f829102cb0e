package egress

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/tengineai/webhook-gateway/webhook"
)

// Config says how attempts leave this machine and where they may go. The zero
// Config sends from the address the system chooses to public addresses, by
// https only.
type Config struct {
	// Sources are the local addresses that every attempt leaves from. Each
	// webhook is bound to one per IP family. An IP family without a source is
	// never used. Empty: the system chooses. Cannot be combined with Proxy.
	Sources []netip.Addr

	// Advertise are the addresses that receivers are told to expect. It is for
	// display only. Defaults to Sources; required with Proxy.
	Advertise []netip.Addr

	// Proxy is an http:// URL of a proxy that attempts pass through, by
	// CONNECT. It may hold credentials; they appear in no error. Nil: none. The
	// environment's proxy variables are never read.
	Proxy *url.URL

	// Allow opens addresses that are not public. Some can never be opened.
	Allow []Allow

	// AllowHTTP permits http:// receivers.
	AllowHTTP bool

	// OwnPorts returns the TCP ports that this process listens on; at this
	// machine's addresses they are never opened. It is asked anew for connections
	// to this machine, one call at a time. An error is a fault of the gateway, and
	// nothing is sent. Nil: ListeningPorts. Where that finds nothing, which is
	// everywhere but on Linux, OwnPorts must know at least the port of Caddy's
	// admin API. Tests whose receivers are in their own process set it to one that
	// returns none.
	OwnPorts func() ([]uint16, error)

	// Resolver gives the settings with which receivers' names are resolved; Go's
	// own resolver does the work in any case. Nil: the system's name servers.
	Resolver *net.Resolver

	// RootCAs are the authorities that receivers' certificates are verified
	// against. Nil: the system's.
	RootCAs *x509.CertPool

	// MaxIdlePerHost is how many idle connections to one receiver are kept.
	// Defaults to 256.
	MaxIdlePerHost int
}

// Allow opens a range of addresses to the webhooks of some projects.
type Allow struct {
	// Prefix is the range. An IPv4-mapped IPv6 prefix is an error: write IPv4.
	Prefix netip.Prefix

	// Projects are the ids of the projects that may reach the range. Empty, or
	// with webhook.AllProjects among them: every project. A static webhook of
	// all projects is opened only by the latter two.
	Projects []string
}

// appliesTo reports whether a opens its range to the webhooks of a project.
func (a Allow) appliesTo(projectID string) bool {
	return len(a.Projects) == 0 ||
		slices.Contains(a.Projects, webhook.AllProjects) ||
		slices.Contains(a.Projects, projectID)
}

const defaultMaxIdlePerHost = 256

// validate returns every problem of c, and c with its defaults filled in.
func (c Config) validate() (Config, error) {
	var errs []error
	for i, source := range c.Sources {
		if err := checkSource(source); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", source, err))
		} else if slices.Contains(c.Sources[:i], source) {
			errs = append(errs, fmt.Errorf("source %s: listed twice", source))
		}
	}
	for _, addr := range c.Advertise {
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			errs = append(errs, fmt.Errorf("advertise %s: not a plain IP address", addr))
		}
	}
	for _, allow := range c.Allow {
		if !allow.Prefix.IsValid() || allow.Prefix.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("allow %s: not a plain IP range", allow.Prefix))
		}
		if slices.Contains(allow.Projects, "") {
			errs = append(errs, fmt.Errorf("allow %s: an empty project id", allow.Prefix))
		}
	}
	if c.Proxy != nil {
		errs = append(errs, c.checkProxy())
	}
	if c.MaxIdlePerHost < 0 {
		errs = append(errs, errors.New("idle connections per host: negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	if len(c.Advertise) == 0 {
		c.Advertise = c.Sources
	}
	if c.MaxIdlePerHost == 0 {
		c.MaxIdlePerHost = defaultMaxIdlePerHost
	}
	return c, nil
}

// checkProxy never puts the proxy's URL into an error: it may hold a password.
func (c Config) checkProxy() error {
	var errs []error
	if c.Proxy.Scheme != "http" || c.Proxy.Hostname() == "" {
		errs = append(errs, errors.New("proxy: must be like http://host:port"))
	}
	if _, ok := portOf(c.Proxy); !ok {
		errs = append(errs, errors.New("proxy: the port must be within 1 and 65535"))
	}
	if len(c.Sources) > 0 {
		errs = append(errs, errors.New("proxy: cannot be combined with source"))
	}
	if len(c.Advertise) == 0 {
		errs = append(errs, errors.New("proxy: needs advertise, the addresses the proxy sends from"))
	}
	return errors.Join(errs...)
}

// checkSource reports whether attempts can leave from an address. Binding is
// the test: the addresses of an interface do not list all that can be bound.
func checkSource(source netip.Addr) error {
	if !source.IsValid() || source.Zone() != "" || source.Is4In6() || source.IsUnspecified() || source.IsMulticast() {
		return errors.New("not an address to send from")
	}
	probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
	if err != nil {
		return fmt.Errorf("this machine does not have it: %w", err)
	}
	return probe.Close()
}
