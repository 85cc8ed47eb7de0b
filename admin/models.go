package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

func (h *Handler) models(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, struct {
		Models []Model `json:"models"`
	}{listed(h.deps.Models())})
}

func (h *Handler) model(w http.ResponseWriter, r *http.Request) {
	if m, ok := h.find(w, r); ok {
		reply(w, http.StatusOK, m)
	}
}

// setSplit takes {"1": 90, "2": 10}. A version that is not named gets nothing.
func (h *Handler) setSplit(w http.ResponseWriter, r *http.Request) {
	m, ok := h.find(w, r)
	if !ok {
		return
	}
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	weights, err := decodeSplit(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, infer.Invalid.String(), err.Error())
		return
	}
	for version := range weights {
		if !h.has(w, m, version) {
			return
		}
	}
	h.change(w, r, h.deps.Split(r.Context(), m.Name, weights))
}

func (h *Handler) dropSplit(w http.ResponseWriter, r *http.Request) {
	if m, ok := h.find(w, r); ok {
		h.change(w, r, h.deps.Split(r.Context(), m.Name, nil))
	}
}

// version takes V:disable and V:enable.
func (h *Handler) version(w http.ResponseWriter, r *http.Request) {
	version, verb := cutVerb(r.PathValue("action"))
	if verb != "disable" && verb != "enable" {
		refuse(w, http.StatusNotFound, codeNotFound, "no such action: want VERSION:disable or VERSION:enable")
		return
	}
	m, ok := h.find(w, r)
	if !ok || !h.has(w, m, version) {
		return
	}
	h.change(w, r, h.deps.Enable(r.Context(), m.Name, version, verb == "enable"))
}

// controlTime bounds how long loading or unloading a model may take.
const controlTime = 10 * time.Minute

// control takes NAME:load and NAME:unload.
func (h *Handler) control(w http.ResponseWriter, r *http.Request) {
	name, verb := cutVerb(r.PathValue("action"))
	do := h.deps.Load
	switch verb {
	case "load":
	case "unload":
		do = h.deps.Unload
	default:
		refuse(w, http.StatusNotFound, codeNotFound, "no such action: want MODEL:load or MODEL:unload")
		return
	}
	extend(w, controlTime)
	ctx, cancel := context.WithTimeout(r.Context(), controlTime)
	defer cancel()
	err := do(ctx, name)
	r.SetPathValue("model", name)
	h.change(w, r, err)
}

// cutVerb takes the verb off NAME:VERB.
func cutVerb(action string) (name, verb string) {
	colon := strings.LastIndexByte(action, ':')
	if colon < 0 {
		return action, ""
	}
	return action[:colon], action[colon+1:]
}

// change answers a change of a model with how the model looks now.
func (h *Handler) change(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	h.model(w, r)
}

// find looks up the model that the path names. If there is none it has answered.
func (h *Handler) find(w http.ResponseWriter, r *http.Request) (Model, bool) {
	return named(w, h.deps.Models(), func(m *Model) string { return m.Name }, "model", r.PathValue("model"), infer.UnknownModel.String())
}

// has looks for a version of m. If there is none it has answered.
func (h *Handler) has(w http.ResponseWriter, m Model, version string) bool {
	names := make([]string, len(m.Versions))
	for i := range m.Versions {
		names[i] = m.Versions[i].Version
	}
	if slices.Contains(names, version) {
		return true
	}
	refuse(w, http.StatusNotFound, infer.UnknownVersion.String(),
		fmt.Sprintf("model %s has no version %s; %s", quoted(m.Name), quoted(version), exist("versions", names)))
	return false
}

// decodeSplit reads one object of version to weight, strictly: encoding/json alone would let a version that is named
// twice pass, and the last one win.
func decodeSplit(body []byte) (map[string]float64, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, fmt.Errorf(`want an object of version to weight, such as {"1": 90, "2": 10}`)
	}
	weights, total := map[string]float64{}, 0.0
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("the body is not JSON at offset %d", dec.InputOffset())
		}
		version := token.(string) // within an object every other token is a key
		if _, ok := weights[version]; ok {
			return nil, fmt.Errorf("version %s is named twice", quoted(version))
		}
		var weight *float64
		if err := dec.Decode(&weight); err != nil || weight == nil || *weight < 0 {
			return nil, fmt.Errorf("version %s: want a number that is not negative", quoted(version))
		}
		weights[version] = *weight
		total += *weight
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the body is not JSON at offset %d", dec.InputOffset())
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("the body goes on behind the object, at offset %d", dec.InputOffset())
	}
	switch {
	case total == 0:
		return nil, fmt.Errorf("all weights are zero: to stop serving a model, disable its versions")
	case math.IsInf(total, 0):
		return nil, fmt.Errorf("the weights add up to more than a number can hold")
	}
	return weights, nil
}
