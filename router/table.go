package router

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// Version is a version of a model that clients can reach.
type Version struct {
	Name   string
	Weight float64 // relative to the other versions'
	Labels []string
	// Target is nil while the version is not ready; Reason then says why, for clients.
	Target *infer.Target
	Reason string
	// Drained says that an operator keeps all requests away from it.
	Drained bool
}

// Model is a model that clients can reach.
type Model struct {
	Name     string
	Versions []Version
	Headers  []string
	Deadline time.Duration
	MaxBody  int64
	Edge     any // the edge's own, for [infer.Route].Edge
}

// Table is the routing of one generation, immutable.
type Table struct {
	gen     *infer.Generation
	models  map[string]*entry
	names   []string // sorted
	partial bool
}

// entry is a model of a table.
type entry struct {
	name      string
	byVersion map[string]answer
	byLabel   map[string]answer
	// unnamed answers queries that name no version: one answer a target where Lookup must pick, else one.
	unnamed []answer
	split   *split // nil where unnamed has one answer
	known   string // the versions and labels that there are, for errors
}

// answer is what a lookup yields: a route, or why there is none.
type answer struct {
	route *infer.Route
	err   *infer.Error
}

// NewTable builds the table of a generation. partial says that there may be more models than are known now: a
// name that nothing has is then answered as not ready. counts gives the split counter of a model by its name.
func NewTable(gen *infer.Generation, models []Model, partial bool, counts func(name string) *atomic.Uint64) (*Table, error) {
	t := &Table{gen: gen, models: make(map[string]*entry, len(models)), partial: partial}
	for i := range models {
		m := &models[i]
		if t.models[m.Name] != nil {
			return nil, fmt.Errorf("model %q is there twice", m.Name)
		}
		e, err := newEntry(m, counts(m.Name))
		if err != nil {
			return nil, fmt.Errorf("model %q: %w", m.Name, err)
		}
		t.models[m.Name] = e
		t.names = append(t.names, m.Name)
	}
	slices.Sort(t.names)
	return t, nil
}

func newEntry(m *Model, count *atomic.Uint64) (*entry, error) {
	e := &entry{name: m.Name, byVersion: map[string]answer{}, byLabel: map[string]answer{}}
	var (
		ready   []*infer.Target
		weights []float64
		known   []string
	)
	for i := range m.Versions {
		v := &m.Versions[i]
		if _, twice := e.byVersion[v.Name]; twice {
			return nil, fmt.Errorf("version %q is there twice", v.Name)
		}
		a := answerFor(m, v)
		e.byVersion[v.Name] = a
		known = append(known, strconv.Quote(v.Name))
		for _, l := range v.Labels {
			if _, twice := e.byLabel[l]; twice {
				return nil, fmt.Errorf("label %q is there twice", l)
			}
			e.byLabel[l] = a
			known = append(known, "label "+strconv.Quote(l))
		}
		if v.Target != nil && v.Weight > 0 {
			ready, weights = append(ready, v.Target), append(weights, v.Weight)
		}
	}
	e.known = shortList(known, ", ")
	e.answerUnnamed(m, ready, weights, count)
	return e, nil
}

// answerFor returns the answer for a query that names v.
func answerFor(m *Model, v *Version) answer {
	if v.Target == nil {
		return answer{err: &infer.Error{
			Code: unserved(v.Drained), Origin: infer.FromGateway, Retry: infer.Unsent, After: time.Second,
			Text: fmt.Sprintf("version %q of model %q is not ready: %s", v.Name, m.Name, v.Reason),
		}}
	}
	return answer{route: m.route(v.Target)}
}

// unserved is the code of what has no target: a model that is loaded has no endpoint once all are drained.
func unserved(drained bool) infer.Code {
	if drained {
		return infer.NoEndpoint
	}
	return infer.NotReady
}

func (m *Model) route(targets ...*infer.Target) *infer.Route {
	return &infer.Route{
		Model: targets[0].Model, Targets: targets, Headers: m.Headers, Deadline: m.Deadline, MaxBody: m.MaxBody,
		Edge: m.Edge,
	}
}

// answerUnnamed prepares the answer for queries that name no version.
func (e *entry) answerUnnamed(m *Model, ready []*infer.Target, weights []float64, count *atomic.Uint64) {
	if len(ready) == 0 {
		e.unnamed = []answer{{err: e.notReady(m)}}
		return
	}
	sp := newSplit(weights, count)
	for _, t := range ready[1:] {
		if !ready[0].Model.SameSignature(t.Model) {
			for _, t := range ready {
				e.unnamed = append(e.unnamed, answer{route: m.route(t)})
			}
			e.split = sp
			return
		}
	}
	r := m.route(ready...)
	if len(ready) > 1 {
		r.Policy = sp
	}
	e.unnamed = []answer{{route: r}}
}

func (e *entry) notReady(m *Model) *infer.Error {
	var why []string
	drained := false
	for i := range m.Versions {
		if v := &m.Versions[i]; v.Target == nil {
			drained = drained || v.Drained
			why = append(why, fmt.Sprintf("version %q: %s", v.Name, v.Reason))
		}
	}
	text := fmt.Sprintf("model %q has no version that is ready", m.Name)
	if why != nil {
		text += ": " + shortList(why, "; ")
	} else if len(m.Versions) > 0 {
		text = fmt.Sprintf("model %q sends nothing to versions that a request does not name (all weights are zero)", m.Name)
	}
	return &infer.Error{Code: unserved(drained), Origin: infer.FromGateway, Retry: infer.Unsent, After: time.Second, Text: text}
}

// lookup finds the answer for a query.
func (t *Table) lookup(q *infer.Query) (*infer.Route, *infer.Error) {
	e := t.models[string(q.Name)]
	if e == nil {
		return nil, t.unknownModel(q.Name)
	}
	var a answer
	switch {
	case len(q.Version) > 0:
		var ok bool
		if a, ok = e.byVersion[string(q.Version)]; !ok {
			// Protocols whose paths have no place for a label name it as a version.
			if a, ok = e.byLabel[string(q.Version)]; !ok {
				return nil, e.unknownVersion("version", q.Version)
			}
		}
	case len(q.Label) > 0:
		var ok bool
		if a, ok = e.byLabel[string(q.Label)]; !ok {
			return nil, e.unknownVersion("label", q.Label)
		}
	case e.split != nil:
		a = e.unnamed[e.split.pick()]
	default:
		a = e.unnamed[0]
	}
	return a.route, a.err
}

// namesInError bounds how many names of models, versions or labels an error lists.
const namesInError = 10

// shortList joins what an error lists, but for what is too much.
func shortList(all []string, separator string) string {
	return strings.Join(all[:min(len(all), namesInError)], separator) + more(len(all))
}

// more says how many of n are not listed.
func more(n int) string {
	if n <= namesInError {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-namesInError)
}

func (t *Table) unknownModel(name []byte) *infer.Error {
	there := "; there are no models"
	if t.partial {
		there = "" // there may be some
	}
	if n := len(t.names); n > 0 {
		there = "; there is " + strings.Join(quoted(t.names[:min(n, namesInError)]), ", ") + more(n)
	}
	if t.partial {
		return &infer.Error{
			Code: infer.NotReady, Origin: infer.FromGateway, Retry: infer.Unsent, After: time.Second,
			Text: fmt.Sprintf("no model is called %s among those known now; some are not available%s", quote(name), there),
		}
	}
	return infer.Errorf(infer.UnknownModel, "no model is called %s%s", quote(name), there)
}

func (e *entry) unknownVersion(kind string, name []byte) *infer.Error {
	return infer.Errorf(infer.UnknownVersion, "model %q has no %s %s; it has %s", e.name, kind, quote(name), e.known)
}

func quoted(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n)
	}
	return out
}

// quote returns a client's string quoted, and cut to 128 bytes.
func quote(b []byte) string {
	const most = 128
	if len(b) > most {
		return strconv.Quote(string(b[:most])) + "..."
	}
	return strconv.Quote(string(b))
}
