package caddymodule

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/egress"
)

// config returns the way out that is configured; the nil Egress is the default.
// What needs no context is checked here, the rest by egress.New.
func (e *Egress) config(logger *zap.Logger) (egress.Config, error) {
	if e == nil {
		return egress.Config{OwnPorts: ownPorts}, nil
	}
	c := egress.Config{AllowHTTP: e.AllowHTTP, OwnPorts: ownPorts}
	var errs []error
	var err error
	if c.Sources, err = parseAddresses(e.Source); err != nil {
		errs = append(errs, fmt.Errorf("egress: source: %w", err))
	}
	if c.Advertise, err = parseAddresses(e.Advertise); err != nil {
		errs = append(errs, fmt.Errorf("egress: advertise: %w", err))
	}
	if e.Proxy != "" {
		if c.Proxy, err = e.proxy(logger); err != nil {
			errs = append(errs, fmt.Errorf("egress: proxy: %w", err))
		}
	}
	if c.Allow, err = e.ranges(); err != nil {
		errs = append(errs, fmt.Errorf("egress: %w", err))
	}
	return c, errors.Join(errs...)
}

// proxy returns the URL of the proxy. No error repeats it: it may hold a
// password.
func (e *Egress) proxy(logger *zap.Logger) (*url.URL, error) {
	text, literal, err := resolveText(e.Proxy)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it must be a URL such as http://proxy.internal:3128")
	}
	if _, password := u.User.Password(); password && literal {
		warnLiteral(logger, "password of egress proxy")
	}
	return u, nil
}

// ranges returns the ranges of allow, each at most once.
func (e *Egress) ranges() ([]egress.Allow, error) {
	var ranges []egress.Allow
	for _, allow := range e.Allow {
		prefix, err := parseRange(allow.Range)
		if err != nil {
			return nil, fmt.Errorf("allow: %w", err)
		}
		if err := checkProjects(allow.Projects); err != nil {
			return nil, fmt.Errorf("allow %s: projects: %w", prefix, err)
		}
		for _, other := range ranges {
			if other.Prefix == prefix {
				return nil, fmt.Errorf("allow %s is there already: name all its projects in one place", prefix)
			}
		}
		ranges = append(ranges, egress.Allow{Prefix: prefix, Projects: projectsOf(allow.Projects)})
	}
	return ranges, nil
}

// ownPorts returns the ports that this process listens on. Where the system
// does not tell, at least the admin API's default port is known; an "admin"
// option of the configuration is not seen here.
func ownPorts() ([]uint16, error) {
	ports, err := egress.ListeningPorts()
	if err != nil {
		return nil, err
	}
	if admin, err := caddy.ParseNetworkAddress(caddy.DefaultAdminListen); err == nil {
		ports = append(ports, uint16(admin.StartPort))
	}
	return ports, nil
}
