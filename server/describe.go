package server

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/slab"
)

// productName is what the server's metadata calls it.
const productName = "sluice"

// backendOf names what runs a model, for instance onnxruntime.
func backendOf(m *infer.Model) string {
	backend, _, _ := strings.Cut(m.Platform, "_")
	return backend
}

// maxQuestion bounds the bodies of requests that infer nothing.
const maxQuestion = 1 << 20

// describe answers everything but inference.
func (e *inference) describe(t target) {
	switch t.op {
	case opUnknown:
		e.refusePath()
		return
	case opTrace, opLogging:
		e.settings(t)
		return
	case opLoad, opUnload:
		e.control(t)
		return
	case opRegionStatus, opRegister, opUnregister:
		e.regions(t)
		return
	case opIndex:
		if !bytes.Equal(e.x.Method(), methodPost) {
			e.refuseMethod("POST")
			return
		}
		e.index()
		return
	}
	if !e.reads() {
		e.refuseMethod("GET, HEAD")
		return
	}
	switch t.op {
	case opAlive:
		e.tell(http.StatusOK, management.Alive())
	case opModels:
		e.tell(http.StatusOK, management.ModelNames(e.server.front.Versions()))
	case opServerLive:
		e.tell(http.StatusOK, management.ServerLive(true))
	case opServerReady:
		ready := e.server.front.Ready()
		e.tell(statusIf(ready, http.StatusServiceUnavailable), management.ServerReady(ready))
	case opServerMetadata:
		e.tell(http.StatusOK, management.ServerMetadata(productName, e.server.opts.Version, e.server.aside.extensions()))
	case opServingModels, opServingStatus, opServingMetadata:
		e.describeServing(t)
	case opAllStats:
		e.tell(http.StatusOK, management.Statistics(e.server.statistics("", "")))
	default:
		e.describeModel(t)
	}
}

// reads tells whether the method is one that asks and changes nothing.
func (e *inference) reads() bool {
	m := e.x.Method()
	return bytes.Equal(m, methodGet) || bytes.Equal(m, methodHead)
}

// statusIf is 200 if yes, else no.
func statusIf(yes bool, no int) int {
	if yes {
		return http.StatusOK
	}
	return no
}

// describeModel answers a question about one model.
func (e *inference) describeModel(t target) {
	model, err := e.find(t)
	if t.op == opModelReady {
		e.tell(statusIf(err == nil, http.StatusBadRequest), management.ModelReady(string(e.query.Name), err == nil))
		return
	}
	if err != nil {
		e.refuse(err)
		return
	}
	switch t.op {
	case opModelMetadata:
		e.tell(http.StatusOK, management.ModelMetadata(model, e.server.readyVersions(model.Name)))
	case opModelConfig:
		e.tell(http.StatusOK, management.ModelConfig(model, backendOf(model)))
	case opModelStats:
		version := ""
		if len(e.query.Version) > 0 {
			version = model.Version
		}
		e.tell(http.StatusOK, management.Statistics(e.server.statistics(model.Name, version)))
	}
}

// find returns the version that a path names: what an inference there would be decoded against.
func (e *inference) find(t target) (*infer.Model, *infer.Error) {
	if err := e.name(t); err != nil {
		return nil, err
	}
	e.query.Header = e.x
	return e.server.find(&e.query)
}

// find returns the version that a query leads to.
func (s *Server) find(q *infer.Query) (*infer.Model, *infer.Error) {
	route, err := s.front.Lookup(q)
	if err != nil {
		return nil, asError(err)
	}
	q.Hold.Drop()
	return route.Model, nil
}

// index answers what there is in the repository.
func (e *inference) index() {
	var body slab.List
	defer body.Release()
	if err := e.x.ReadBody(&body, maxQuestion); err != nil {
		e.refuseWire(err, maxQuestion)
		return
	}
	readyOnly, err := management.ParseIndexRequest(body.Flatten(e.server.memory.Slabs))
	if err != nil {
		e.refuse(err)
		return
	}
	e.tell(http.StatusOK, management.RepositoryIndex(e.server.front.Versions(), readyOnly))
}

// tell replies with a JSON body.
func (e *inference) tell(status int, json []byte) {
	e.body(json)
	e.reply.Status, e.reply.ContentType = status, typeJSON
	e.send()
}

// readyVersions lists the versions of a model that can serve.
func (s *Server) readyVersions(model string) []string {
	var names []string
	for _, v := range s.front.Versions() {
		if v.Name == model && v.State == infer.Ready {
			names = append(names, v.Version)
		}
	}
	return names
}

// statistics returns the totals of the versions that can serve: of one model or version, or of all for "".
func (s *Server) statistics(model, version string) []management.ModelStats {
	var all []management.ModelStats
	for _, v := range s.front.Versions() {
		if v.State != infer.Ready || model != "" && v.Name != model || version != "" && v.Version != version {
			continue
		}
		all = append(all, s.metrics.stats(v.Name, v.Version))
	}
	return all
}
