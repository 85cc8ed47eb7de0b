package admin

import (
	"fmt"
	"net/http"
	"slices"
)

func (h *Handler) pools(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, struct {
		Pools []Pool `json:"pools"`
	}{listed(h.deps.Pools())})
}

func (h *Handler) pool(w http.ResponseWriter, r *http.Request) {
	if p, ok := h.findPool(w, r); ok {
		reply(w, http.StatusOK, p)
	}
}

// drain takes ADDRESS:drain and ADDRESS:undrain, and answers with the pool as it is then.
func (h *Handler) drain(w http.ResponseWriter, r *http.Request) {
	endpoint, verb := cutVerb(r.PathValue("action"))
	if verb != "drain" && verb != "undrain" {
		refuse(w, http.StatusNotFound, codeNotFound, "no such action: want ENDPOINT:drain or ENDPOINT:undrain")
		return
	}
	p, ok := h.findPool(w, r)
	if !ok {
		return
	}
	names := make([]string, len(p.Endpoints))
	for i := range p.Endpoints {
		names[i] = p.Endpoints[i].Name
	}
	if !slices.Contains(names, endpoint) {
		refuse(w, http.StatusNotFound, codeNotFound,
			fmt.Sprintf("pool %s has no endpoint %s; %s", quoted(p.Name), quoted(endpoint), exist("endpoints", names)))
		return
	}
	if err := h.deps.Drain(r.Context(), p.Name, endpoint, verb == "drain"); err != nil {
		fail(w, err)
		return
	}
	h.pool(w, r)
}

// findPool looks up the pool that the path names. If there is none it has answered.
func (h *Handler) findPool(w http.ResponseWriter, r *http.Request) (Pool, bool) {
	return named(w, h.deps.Pools(), func(p *Pool) string { return p.Name }, "pool", r.PathValue("pool"), codeNotFound)
}
