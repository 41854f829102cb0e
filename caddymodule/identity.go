package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/tengineai/webhook-gateway/gateway"
)

// clientAddr returns the address of a request's client as Caddy sees it: behind
// a proxy the one that trusted_proxies lets it believe. The zero Addr if there
// is none, as behind a Unix socket.
func clientAddr(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// bearerToken returns the token of an Authorization header (RFC 6750 section
// 2.1), or "" if there is not exactly one.
func bearerToken(h http.Header) string {
	values := h["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// keyInFront returns the key of a client whom something in front of the handler
// has authenticated, from the placeholders that tell its projects and scopes.
func keyInFront(r *http.Request, projectsFrom, scopesFrom string) (*gateway.Key, error) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return gateway.KeyFrom(projectsFrom, repl.ReplaceAll(projectsFrom, ""), repl.ReplaceAll(scopesFrom, ""))
}

// checkIdentity checks the settings of those who are authenticated by something
// in front.
func checkIdentity(projectsFrom, scopesFrom string) error {
	if scopesFrom != "" && projectsFrom == "" {
		return errors.New("scopes_from needs projects_from")
	}
	if projectsFrom != "" && !isPlaceholder(projectsFrom) {
		return errors.New("projects_from must be a placeholder such as {http.request.header.X-Projects}")
	}
	if scopesFrom != "" && !isPlaceholder(scopesFrom) {
		return errors.New("scopes_from must be a placeholder such as {http.request.header.X-Scopes}")
	}
	return nil
}

func isPlaceholder(text string) bool {
	inner, ok := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	return ok && closed && inner != "" && !strings.ContainsAny(inner, "{}")
}
