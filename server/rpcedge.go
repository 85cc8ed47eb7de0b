package server

import (
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// rpcEdge is what an inference over gRPC needs here, alone or as one of a stream's.
type rpcEdge struct {
	edge
	message slab.List // of the answer
	counted bool      // among those in flight
}

// prepare resolves the model, moves the message into the request and decodes it. It returns how long the message
// allows, 0 if it does not say.
func (e *rpcEdge) prepare(c codec, message *slab.List, req *infer.Request) (time.Duration, *infer.Error) {
	e.arrived(int64(message.Size()))
	if _, err := c.peek(message, &e.query); err != nil {
		return 0, err
	}
	if err := e.admit(req); err != nil {
		return 0, err
	}
	req.Body.Take(message)
	return c.decode(req)
}

// arrived takes up a message of a size, of which nothing else is known yet.
func (e *rpcEdge) arrived(size int64) {
	e.series, e.counted, e.bytesIn = e.server.unknown, false, size
}

// admit resolves the model that the query names, and counts the inference among those in flight.
func (e *rpcEdge) admit(req *infer.Request) *infer.Error {
	if err := e.lookup(req); err != nil {
		return err
	}
	e.query.Name, e.query.Version, e.query.Label = nil, nil, nil
	e.series.inFlight.AddAt(req.Shard(), 1)
	e.counted = true
	if e.bytesIn > req.Route.MaxBody {
		return tooLarge(req.Route.MaxBody)
	}
	return nil
}

// encoded notes what became of encoding the answer, which is err and e.message.
func (e *rpcEdge) encoded(err *infer.Error) *infer.Error {
	if err == nil {
		e.status = int(grpc.OK)
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
