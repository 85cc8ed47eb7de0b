package server

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2"
)

// rpcEdge is what an inference over gRPC needs here, alone or as one of a stream's.
type rpcEdge struct {
	edge
	encoder *kserve.MessageEncoder
	message slab.List // of the answer
	id      []byte    // the client's own, as far as the message could be read
	counted bool      // among those in flight
}

func newRPCEdge(s *Server, method string) rpcEdge {
	return rpcEdge{
		edge:    edge{server: s, protocol: overGRPC, method: method},
		encoder: kserve.NewMessageEncoder(s.memory.Slabs),
	}
}

// prepare resolves the model, moves the message into the request and decodes it.
func (e *rpcEdge) prepare(d *kserve.MessageDecoder, message *slab.List, req *infer.Request, stream bool) *infer.Error {
	e.series, e.counted, e.id = e.server.unknown, false, e.id[:0]
	e.bytesIn = int64(message.Size())
	peek, err := d.PeekModel(message)
	if err != nil {
		return err
	}
	if stream {
		e.id = append(e.id, peek.ID...)
	}
	e.query.Name, e.query.Version = peek.Name, peek.Version
	if err := e.lookup(req); err != nil {
		return err
	}
	e.query.Name, e.query.Version = nil, nil
	e.series.inFlight.AddAt(req.Shard(), 1)
	e.counted = true
	if e.bytesIn > req.Route.MaxBody {
		return tooLarge(req.Route.MaxBody)
	}
	req.Body.Take(message)
	return d.Decode(kserve.Source{
		Model: req.Route.Model, Body: &req.Body, MaxBytes: req.Route.MaxBody, Stream: stream,
	}, req, &e.head)
}

// encode writes rows of r, which may be nil for an answer without outputs, into e.message. It reads nothing of c
// that its finish writes.
func (e *rpcEdge) encode(c *infer.Call, r *infer.Response, rows infer.Rows, f kserve.Frame) *infer.Error {
	err := e.encoder.Encode(kserve.Answer{
		Request: c.Request, Head: &e.head, Model: c.Target.Model, Response: r, Rows: rows,
	}, f, &e.message)
	if err == nil {
		e.status = int(h2.OK)
		e.bytesOut += int64(e.message.Size())
	}
	return err
}

// failed notes how the inference failed.
func (e *rpcEdge) failed(err *infer.Error) {
	e.fail(err)
	e.status = int(grpcStatus[err.Code])
}

// observe counts the inference, once it is answered.
func (e *rpcEdge) observe(c *infer.Call) {
	e.edge.observe(c)
	if e.counted {
		e.series.inFlight.AddAt(uint32(e.received), -1)
	}
}
