package gateway

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// registry holds every webhook that the store has a record of, decrypted once
// for all generations. It is small per webhook: what follows from the settings
// is in the generations, and receivers are made when they are needed.
type registry struct {
	mu       sync.RWMutex
	byID     map[string]*stored
	projects map[string][]string // ids of the webhooks of the API, ascending
	coming   map[string]int      // by project: webhooks that are being created
	damaged  map[string]bool     // ids of records that cannot be read
}

// stored is a webhook as its record says, immutable. Of a static one it has the
// state only: the rest is in the configuration.
type stored struct {
	sub       *webhook.Subscription
	parkedAt  time.Time // when a static one was found missing in the configuration; zero while it is there
	revision  uint64    // counts the changes of the webhook
	version   uint64    // of the record, which is also written to seal it anew
	owedEvent string    // the id of the event that tells of its disabling, until that is published
}

// etag returns Webhook.Version for a webhook of the API.
func (h *stored) etag() string { return strconv.FormatUint(h.revision, 36) }

func newRegistry() *registry {
	return &registry{
		byID:     make(map[string]*stored),
		projects: make(map[string][]string),
		coming:   make(map[string]int),
		damaged:  make(map[string]bool),
	}
}

// get returns the webhook with the id, or nil.
func (r *registry) get(webhookID string) *stored {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[webhookID]
}

// api returns the subscription of a webhook of the API, or nil.
func (r *registry) api(webhookID string) *webhook.Subscription {
	if h := r.get(webhookID); h != nil && !h.sub.Static {
		return h.sub
	}
	return nil
}

// unreadable says whether there is a record with the id that cannot be read.
func (r *registry) unreadable(webhookID string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.damaged[webhookID]
}

// markDamaged notes that the record with the id cannot be read.
func (r *registry) markDamaged(webhookID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged[webhookID] = true
}

// put adds a webhook, or replaces it. Ids mostly come in ascending order, which
// makes it cheap.
func (r *registry) put(h *stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := h.sub.ID
	if r.byID[id] == nil && !h.sub.Static {
		ids := r.projects[h.sub.ProjectID]
		at, _ := slices.BinarySearch(ids, id)
		r.projects[h.sub.ProjectID] = slices.Insert(ids, at, id)
	}
	r.byID[id] = h
	delete(r.damaged, id)
}

// remove takes a webhook of the API out.
func (r *registry) remove(webhookID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.damaged, webhookID)
	h := r.byID[webhookID]
	if h == nil {
		return
	}
	delete(r.byID, webhookID)
	ids := r.projects[h.sub.ProjectID]
	at, found := slices.BinarySearch(ids, webhookID)
	switch {
	case !found:
	case len(ids) == 1:
		delete(r.projects, h.sub.ProjectID)
	default:
		r.projects[h.sub.ProjectID] = slices.Delete(ids, at, at+1)
	}
}

// page returns up to limit ids of the webhooks of the API that a project has,
// ascending, that follow after.
func (r *registry) page(projectID, after string, limit int) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := r.projects[projectID]
	at, found := slices.BinarySearch(ids, after)
	if found {
		at++
	}
	return slices.Clone(ids[at:min(at+limit, len(ids))])
}

// reserve makes room for a webhook that is about to be created, unless the
// project has as many as it may. release gives the room back when the webhook
// is there, or was not created.
func (r *registry) reserve(projectID string, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.projects[projectID])+r.coming[projectID] >= limit {
		return false
	}
	r.coming[projectID]++
	return true
}

func (r *registry) release(projectID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.coming[projectID]--; r.coming[projectID] == 0 {
		delete(r.coming, projectID)
	}
}

// all returns every webhook as it is now.
func (r *registry) all() []*stored {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*stored, 0, len(r.byID))
	for _, h := range r.byID {
		all = append(all, h)
	}
	return all
}

// static returns the static webhooks, those of past configurations included.
func (r *registry) static() []*stored {
	return slices.DeleteFunc(r.all(), func(h *stored) bool { return !h.sub.Static })
}

// counts returns how many webhooks each project has, the static ones of past
// configurations included.
func (r *registry) counts() map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	counts := make(map[string]int)
	for _, h := range r.byID {
		counts[h.sub.ProjectID]++
	}
	return counts
}
