package server

import (
	"sync"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
)

// typeEvents is the content type of generate_stream.
const typeEvents = "text/event-stream; charset=utf-8"

var errNotOne = infer.Errorf(infer.Invalid,
	"generate is for models that answer a request with exactly one response, and this one gave another number: ask generate_stream")

// decodeFlat decodes a body in Triton's flat form.
func (e *inference) decodeFlat(req *infer.Request) *infer.Error {
	model := req.Route.Model
	body, err := rest.ParseGenerate(model, req.Body.Flatten(e.server.memory.Slabs))
	if err != nil {
		return err
	}
	req.Body.Release()
	req.Body.AppendOwned(e.copied(body))
	return e.decoder.Decode(kserve.Source{
		Model: model, Body: &req.Body, HeaderLen: rest.NoHeader, MaxBytes: req.Route.MaxBody, Stream: true,
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
	done  bool            // no response is taken any more
	first *infer.Response // with a reference
	err   *infer.Error    // what was wrong first
}

// Respond implements [infer.Sink]. It takes responses that are one too many as well, up to the last: a Triton may
// end, and all that runs there with it, when a stream is cancelled on which responses are on their way.
func (g *gathered) Respond(s *infer.Stream, r *infer.Response, _ *infer.Burst) {
	g.mu.Lock()
	switch {
	case g.done:
		g.mu.Unlock()
		return
	case r.Error != nil:
		g.fail(r.Error)
	case len(r.Outputs) == 0: // says only that it was the last
	case g.first != nil:
		g.fail(errNotOne)
	default:
		r.Retain()
		g.first = r
	}
	g.mu.Unlock()
	s.Source.Pull(s)
}

// fail notes the first thing that was wrong. It runs under mu.
func (g *gathered) fail(err *infer.Error) {
	if g.err == nil {
		g.err = err
	}
}

// take ends the taking and returns the response, nil if there was none, and what was wrong.
func (g *gathered) take() (*infer.Response, *infer.Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.first
	g.done, g.first = true, nil
	return r, g.err
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
	r, err := g.take()
	if r != nil {
		defer r.Release()
	}
	switch {
	case c.Error != nil:
		return c.Error
	case err != nil:
		return err
	case r == nil:
		return errNotOne
	}
	return e.flat(c, r, infer.AllRows)
}

// flat answers with a response in Triton's flat form.
func (e *inference) flat(c *infer.Call, r *infer.Response, rows infer.Rows) *infer.Error {
	if err := e.encodeFlat(c, r, rows); err != nil {
		return err
	}
	e.reply.Status, e.reply.ContentType = httpStatus[infer.OK], typeJSON
	if e.way == wayEvents {
		e.reply.ContentType = typeEvents
	}
	e.finish(c)
	return nil
}

// encodeFlat makes the reply's body of a response.
func (e *inference) encodeFlat(c *infer.Call, r *infer.Response, rows infer.Rows) *infer.Error {
	before, after := "", ""
	if e.way == wayEvents {
		before, after = "data: ", "\n\n"
	}
	return e.encoder.EncodeGenerated(kserve.Answer{
		Request: c.Request, Head: &e.head, Model: c.Target.Model, Response: r, Rows: rows,
	}, before, after, &e.reply.Body)
}
