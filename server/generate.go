package server

import (
	"sync"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
)

// typeEvents is the content type of generate_stream.
const typeEvents = "text/event-stream; charset=utf-8"

// way is the form in which an inference over HTTP comes and is answered.
type way uint8

const (
	wayInfer    way = iota
	wayGenerate     // Triton's flat JSON
	wayEvents       // the same, and each response is an event
)

var (
	errNotOne = infer.Errorf(infer.Invalid,
		"generate is for models that answer a request with exactly one response, and this one gave another number")
	errEvents = infer.Errorf(infer.Unsupported,
		"the responses of this model are any number for a request: they are served over gRPC, by ModelStreamInfer")
)

// decodeFlat decodes a body in Triton's flat form.
func (e *inference) decodeFlat(req *infer.Request) *infer.Error {
	model := req.Route.Model
	if model.Decoupled && e.way == wayEvents {
		return errEvents
	}
	body, err := kserve.ParseGenerate(model, req.Body.Flatten(e.server.memory.Slabs))
	if err != nil {
		return err
	}
	req.Body.Release()
	req.Body.AppendOwned(e.copied(body))
	return e.decoder.Decode(kserve.Source{
		Model: model, Body: &req.Body, HeaderLen: kserve.NoHeader, MaxBytes: req.Route.MaxBody, Stream: true,
	}, req, &e.head)
}

// copied returns bytes in a slab of their own.
func (e *inference) copied(b []byte) slab.View {
	s := e.server.memory.Slabs.Get(len(b))
	return s.View(0, copy(s.Bytes(), b))
}

// gathered takes the responses of a decoupled model of which there must be exactly one.
type gathered struct {
	mu    sync.Mutex
	done  bool // no response is taken any more
	n     int
	first *infer.Response // with a reference
}

// Respond implements [infer.Sink]. A second response ends the call: whoever asked takes no other.
func (g *gathered) Respond(s *infer.Stream, r *infer.Response, b *infer.Burst) {
	g.mu.Lock()
	if g.done {
		g.mu.Unlock()
		return
	}
	var err *infer.Error
	switch {
	case r.Error != nil:
		err = r.Error
	case len(r.Outputs) == 0: // says only that it was the last
	case g.n == 1:
		err = errNotOne
	default:
		g.n = 1
		r.Retain()
		g.first = r
	}
	g.done = err != nil
	g.mu.Unlock()
	if err != nil {
		s.Call.Fail(err, b)
		return
	}
	s.Source.Pull(s)
}

// take ends the taking and returns the response, nil if there was none.
func (g *gathered) take() *infer.Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.first
	g.done, g.first = true, nil
	return r
}

// generate answers with the one response of a decoupled model.
func (e *inference) generate(c *infer.Call) *infer.Error {
	g := &gathered{}
	s := c.OpenStream(g)
	if err := e.server.front.Open(s); err != nil {
		return asError(err)
	}
	e.x.Wait(c.Woken(), e)
	e.settle(c)
	r := g.take()
	if r != nil {
		defer r.Release()
	}
	switch {
	case c.Error != nil:
		return c.Error
	case r == nil:
		return errNotOne
	}
	return e.flat(c, r, infer.AllRows)
}

// flat answers with a response in Triton's flat form.
func (e *inference) flat(c *infer.Call, r *infer.Response, rows infer.Rows) *infer.Error {
	before, after := "", ""
	e.reply.ContentType = typeJSON
	if e.way == wayEvents {
		before, after, e.reply.ContentType = "data: ", "\n\n", typeEvents
	}
	err := e.encoder.EncodeGenerated(kserve.Answer{
		Request: c.Request, Head: &e.head, Model: c.Target.Model, Response: r, Rows: rows,
	}, before, after, &e.reply.Body)
	if err != nil {
		return err
	}
	e.reply.Status = httpStatus[infer.OK]
	e.finish(c)
	return nil
}
