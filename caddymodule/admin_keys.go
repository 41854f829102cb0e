package caddymodule

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/tengineai/webhook-gateway/api"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// AdminKey is an API key as GET /webhook_gateway/keys lists it.
type AdminKey struct {
	Name   string          `json:"name"`
	Scopes []gateway.Scope `json:"scopes"`

	// Projects are the projects that the key is for; empty is every project.
	Projects []string `json:"projects"`

	// Source is "config" for a key of the configuration, "api" for one that was
	// created at run time.
	Source string `json:"source"`

	// CreatedAt is null for a key of the configuration.
	CreatedAt *time.Time `json:"created_at"`

	// ExpiresAt is null for a key that does not end by itself.
	ExpiresAt *time.Time `json:"expires_at"`

	// Expired is true for a key that has ended.
	Expired bool `json:"expired"`

	// Token is only in the answer to the key's creation.
	Token string `json:"token,omitempty"`
}

// AdminKeys is the answer of GET /webhook_gateway/keys.
type AdminKeys struct {
	Data []AdminKey `json:"data"`
}

// NewKey is the body of POST /webhook_gateway/keys.
type NewKey struct {
	Name      string          `json:"name"`
	Scopes    []gateway.Scope `json:"scopes,omitempty"`   // none: read and manage
	Projects  []string        `json:"projects,omitempty"` // none: every project
	ExpiresAt time.Time       `json:"expires_at,omitzero"`
}

func adminKeyOf(k *gateway.Key, now time.Time) AdminKey {
	shown := AdminKey{
		Name:     k.Name,
		Scopes:   append([]gateway.Scope{}, k.Scopes...),
		Projects: append([]string{}, k.Projects...),
		Source:   "config",
		Expired:  k.Expired(now),
	}
	if !k.Static() {
		shown.Source, shown.CreatedAt = "api", &k.CreatedAt
	}
	if !k.ExpiresAt.IsZero() {
		shown.ExpiresAt = &k.ExpiresAt
	}
	return shown
}

func (*Admin) keys(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway) error {
	keys, err := gw.Keys(r.Context())
	if err != nil {
		return err
	}
	answer := AdminKeys{Data: make([]AdminKey, len(keys))}
	for i := range keys {
		answer.Data[i] = adminKeyOf(&keys[i], time.Now())
	}
	return adminAnswer(w, http.StatusOK, answer)
}

func (*Admin) createKey(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway) error {
	text, err := readAdminJSON(w, r)
	if err != nil {
		return err
	}
	wanted, err := api.DecodeKey(text)
	if err != nil {
		return err
	}
	key, token, err := gw.CreateKey(r.Context(), wanted)
	if err != nil {
		return err
	}
	answer := adminKeyOf(&key, time.Now())
	answer.Token = token
	return adminAnswer(w, http.StatusCreated, answer)
}

func (*Admin) revokeKey(w http.ResponseWriter, r *http.Request, gw *gateway.Gateway) error {
	if err := gw.RevokeKey(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxAdminBody is the largest body of a request to the admin API that is no
// event, in bytes.
const maxAdminBody = 1 << 20

// readAdminJSON reads a body. Only application/json is taken: a web page could
// make a browser send another type here without asking.
func readAdminJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return nil, problem.New(problem.UnsupportedMediaType, "Send the header Content-Type: application/json.")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge(maxAdminBody)
	}
	if err != nil {
		return nil, problem.New(problem.BadRequest, "The body did not arrive whole.")
	}
	return text, nil
}
