package caddymodule

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// settings holds the subdirectives that were met, each with where.
type settings map[string]string

// once fails if the current subdirective was met before, and notes it.
func (s settings) once(d *caddyfile.Dispenser) error {
	name := d.Val()
	if where, ok := s[name]; ok {
		return d.Errf("%s is set already (%s)", name, where)
	}
	s[name] = fmt.Sprintf("%s:%d", d.File(), d.Line())
	return nil
}

func unrecognized(d *caddyfile.Dispenser, name string) error {
	return d.Errf("unrecognized subdirective: %s", name)
}

// textArg reads the one argument of a subdirective.
func textArg(d *caddyfile.Dispenser, into *string) error {
	name := d.Val()
	if !d.AllArgs(into) {
		return d.ArgErr()
	}
	if *into == "" {
		return d.Errf("%s must not be empty", name)
	}
	return nil
}

// secretArg is textArg for what no error may repeat.
func secretArg(d *caddyfile.Dispenser, into *string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("%s takes one argument, not %d (is a quote missing?)", name, len(args))
	}
	if args[0] == "" {
		return d.Errf("%s must not be empty", name)
	}
	*into = args[0]
	return nil
}

// textArgs reads one or more arguments, none of them empty or repeated.
func textArgs(d *caddyfile.Dispenser, into *[]string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	for i, arg := range args {
		if arg == "" {
			return d.Errf("%s must not be empty", name)
		}
		if slices.Contains(args[:i], arg) {
			return d.Errf("%s names %s twice", name, arg)
		}
	}
	*into = args
	return nil
}

// choiceArg reads one argument out of a closed list.
func choiceArg(d *caddyfile.Dispenser, into *string, choices ...string) error {
	name := d.Val()
	if !d.AllArgs(into) {
		return d.ArgErr()
	}
	if !slices.Contains(choices, *into) {
		return d.Errf("%s must be %s, not '%s'", name, strings.Join(choices, " or "), *into)
	}
	return nil
}

// intArg reads one whole number within a range.
func intArg(d *caddyfile.Dispenser, into *int, r intRange) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.ArgErr()
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return d.Errf("%s must be a whole number, not '%s'", name, text)
	}
	if err := r.check(n); err != nil {
		return d.Errf("%s: %w", name, err)
	}
	*into = n
	return nil
}

// sizeArg reads one size in bytes, such as 256KiB, within a range.
func sizeArg(d *caddyfile.Dispenser, into *int64, r sizeRange) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.ArgErr()
	}
	n, err := humanize.ParseBytes(text)
	if err != nil {
		return d.Errf("%s must be a size such as 256KiB, not '%s'", name, text)
	}
	*into = int64(min(n, math.MaxInt64))
	if err := r.check(*into); err != nil {
		return d.Errf("%s: %w", name, err)
	}
	return nil
}

// durationArg reads one duration within a range.
func durationArg(d *caddyfile.Dispenser, into *caddy.Duration, r durationRange) error {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return d.ArgErr()
	}
	var err error
	if *into, err = parseDuration(text, r); err != nil {
		return d.Errf("%s: %w", name, err)
	}
	return nil
}

// retryArgs reads "retry off" or one or more waits.
func retryArgs(d *caddyfile.Dispenser, into *[]caddy.Duration) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	*into = []caddy.Duration{}
	if len(args) == 1 && args[0] == "off" {
		return nil
	}
	for _, arg := range args {
		wait, err := parseDuration(arg, retryStepRange)
		if err != nil {
			return d.Errf("retry: %w", err)
		}
		*into = append(*into, wait)
	}
	if err := checkRetry(*into); err != nil {
		return d.Errf("retry: %w", err)
	}
	return nil
}

func parseDuration(text string, r durationRange) (caddy.Duration, error) {
	dur, err := caddy.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("'%s' is not a duration such as 90s, 5m or 2d", text)
	}
	return caddy.Duration(dur), r.check(caddy.Duration(dur))
}

// addressArgs reads one or more IP addresses.
func addressArgs(d *caddyfile.Dispenser, into *[]string) error {
	name := d.Val()
	if err := textArgs(d, into); err != nil {
		return err
	}
	if _, err := parseAddresses(*into); err != nil {
		return d.Errf("%s: %w", name, err)
	}
	return nil
}

// projectArgs reads one or more project ids, or "*".
func projectArgs(d *caddyfile.Dispenser, into *[]string) error {
	if err := textArgs(d, into); err != nil {
		return err
	}
	if err := checkProjects(*into); err != nil {
		return d.Errf("projects: %w", err)
	}
	return nil
}
