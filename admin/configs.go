package admin

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

// reloadTimeout bounds how long a caller waits for a reload: models load meanwhile.
const reloadTimeout = 10 * time.Minute

// config answers with every setting and where its value came from; ?format=yaml gives a file that says the same.
func (h *Handler) config(w http.ResponseWriter, r *http.Request) {
	current := h.deps.Config()
	switch format := r.URL.Query().Get("format"); format {
	case "", "json":
		reply(w, http.StatusOK, viewConfig(current))
	case "yaml":
		var out bytes.Buffer
		if err := current.Show(&out, true); err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(out.Bytes())
	default:
		refuse(w, http.StatusBadRequest, infer.Invalid.String(), "format "+quoted(format)+": want json or yaml")
	}
}

func (h *Handler) reload(w http.ResponseWriter, r *http.Request) {
	extend(w, reloadTimeout)
	done, err := h.deps.Reload(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	done.Changes = listed(done.Changes)
	reply(w, http.StatusOK, done)
}

// check answers whether the body would do as the configuration file. That it would not is an answer, not an error.
func (h *Handler) check(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	next, err := h.deps.Check(body)
	var problems config.Errors
	switch {
	case err == nil:
		reply(w, http.StatusOK, Check{
			Valid: true, Problems: []Problem{}, Warnings: ViewProblems(next.Warnings()),
			Changes: config.Diff(h.deps.Config(), next),
		})
	case errors.As(err, &problems):
		reply(w, http.StatusOK, Check{Problems: ViewProblems(problems), Warnings: []Problem{}})
	default:
		fail(w, err)
	}
}
