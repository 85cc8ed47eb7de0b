package server

import (
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/slab"
)

// A codec reads the messages of a method that is served by hand, and writes their answers. It serves one call at a
// time.
type codec interface {
	// peek notes in q which model a message asks for, which is good until the message is released or the codec
	// used again. raw tells that decoding takes no time that grows with the message.
	peek(message *slab.List, q *infer.Query) (raw bool, err *infer.Error)
	// decode decodes the body of a request that has its route, and returns how long it may take, 0 if it does not
	// say.
	decode(req *infer.Request) (time.Duration, *infer.Error)
	// encode appends the answer of a call that succeeded.
	encode(c *infer.Call, out *slab.List) *infer.Error
}

// inferCodec is that of ModelInfer, and of the messages of ModelStreamInfer.
type inferCodec struct {
	decoder *kserve.MessageDecoder
	encoder *kserve.MessageEncoder
	stream  bool
	head    kserve.Head
	id      []byte // the client's own, as far as the message could be read; of a stream's messages only
}

func newInferCodec(pool *slab.Pool) *inferCodec {
	return &inferCodec{decoder: kserve.NewMessageDecoder(pool), encoder: kserve.NewMessageEncoder(pool)}
}

func (f *inferCodec) peek(message *slab.List, q *infer.Query) (raw bool, err *infer.Error) {
	f.id = f.id[:0]
	p, err := f.decoder.PeekModel(message)
	if err != nil {
		return false, err
	}
	if f.stream {
		f.id = append(f.id, p.ID...)
	}
	q.Name, q.Version = p.Name, p.Version
	return p.Raw, nil
}

func (f *inferCodec) decode(req *infer.Request) (time.Duration, *infer.Error) {
	err := f.decoder.Decode(kserve.Source{
		Model: req.Route.Model, Body: &req.Body, MaxBytes: req.Route.MaxBody, Stream: f.stream,
	}, req, &f.head)
	return f.head.Timeout, err
}

func (f *inferCodec) encode(c *infer.Call, out *slab.List) *infer.Error {
	return f.respond(c, c.Response, c.Rows, kserve.Frame{}, out)
}

// respond appends rows of r, which may be nil for an answer without outputs. It reads nothing of c that its finish
// writes.
func (f *inferCodec) respond(c *infer.Call, r *infer.Response, rows infer.Rows, frame kserve.Frame, out *slab.List) *infer.Error {
	return f.encoder.Encode(kserve.Answer{
		Request: c.Request, Head: &f.head, Model: c.Target.Model, Response: r, Rows: rows,
	}, frame, out)
}

// predictCodec is that of TensorFlow Serving's Predict.
type predictCodec struct {
	decoder *tfserving.MessageDecoder
	encoder *tfserving.MessageEncoder
}

func newPredictCodec(pool *slab.Pool) *predictCodec {
	return &predictCodec{decoder: tfserving.NewMessageDecoder(pool), encoder: tfserving.NewMessageEncoder(pool)}
}

func (p *predictCodec) peek(message *slab.List, q *infer.Query) (raw bool, err *infer.Error) {
	k, err := p.decoder.PeekModel(message)
	switch {
	case err != nil:
		return false, err
	case len(k.Name) == 0:
		return false, errNameless
	}
	q.Name, q.Version, q.Label = k.Name, k.Version, k.Label
	return k.Raw, nil
}

func (p *predictCodec) decode(req *infer.Request) (time.Duration, *infer.Error) {
	return 0, p.decoder.Decode(tfserving.Source{
		Model: req.Route.Model, Body: &req.Body, MaxBytes: req.Route.MaxBody,
	}, req)
}

func (p *predictCodec) encode(c *infer.Call, out *slab.List) *infer.Error {
	return p.encoder.Encode(answerOf(c), false, out)
}

// answerOf returns what TensorFlow Serving's protocol makes an answer of.
func answerOf(c *infer.Call) tfserving.Answer {
	return tfserving.Answer{Request: c.Request, Model: c.Target.Model, Response: c.Response, Rows: c.Rows}
}
