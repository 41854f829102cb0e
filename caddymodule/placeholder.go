package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// resolveText replaces the placeholders {env.NAME} and {file./path} in a
// secret text of the configuration. literal is true if there are none. No
// error repeats anything of the text but the name of such a placeholder.
func resolveText(text string) (value string, literal bool, err error) {
	known := caddy.NewReplacer()
	var last string // the placeholder that was looked up last, if it is one of ours
	ours := caddy.NewEmptyReplacer()
	ours.Map(func(key string) (any, bool) {
		last = ""
		if !strings.HasPrefix(key, "env.") && !strings.HasPrefix(key, "file.") {
			return nil, false
		}
		last = key
		literal = false
		return known.Get(key)
	})
	literal = true
	value, err = ours.ReplaceOrErr(text, true, true)
	switch {
	case err == nil:
		return value, literal, nil
	case last != "":
		return "", false, fmt.Errorf("the placeholder {%s} is empty or unknown: set it where Caddy runs", last)
	}
	return "", false, errors.New(`there is a placeholder other than {env.NAME} and {file./path}: write \{ for a brace that is part of the value`)
}
