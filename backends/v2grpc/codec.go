package v2grpc

import (
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
)

// codec is ModelInfer and ModelStreamInfer. It implements [upstream.Codec] and [upstream.StreamCodec].
type codec struct {
	encoder *kserve.RequestEncoder
	decoder *kserve.ResponseDecoder
}

func newCodec(pool *slab.Pool) *codec {
	return &codec{kserve.NewRequestEncoder(pool), kserve.NewResponseDecoder(pool)}
}

// NewCodec is the protocol's way of running a batch: [upstream.Dialect].NewCodec.
func NewCodec(pool *slab.Pool) upstream.Codec { return newCodec(pool) }

// NewStreamCodec is the protocol's way of opening a stream: [upstream.Dialect].NewStreamCodec.
func NewStreamCodec(pool *slab.Pool) upstream.StreamCodec { return newCodec(pool) }

// Encode implements [upstream.Codec].
func (c *codec) Encode(b *infer.Batch, name, number string, q *upstream.Question) *infer.Error {
	q.Path = inferPath
	return c.encoder.Encode(b, name, number, q.Body)
}

// Decode implements [upstream.Codec].
func (c *codec) Decode(b *infer.Batch, answer upstream.Answer, r *infer.Response) *infer.Error {
	return c.decoder.Decode(b.Model, b, answer.Body, r)
}

// EncodeStream implements [upstream.StreamCodec].
func (c *codec) EncodeStream(m *infer.Model, call *infer.Call, name, number string, q *upstream.Question) *infer.Error {
	q.Path = streamPath
	return c.encoder.EncodeCall(m, call, name, number, q.Body)
}

// DecodeStream implements [upstream.StreamCodec].
func (c *codec) DecodeStream(m *infer.Model, call *infer.Call, message *slab.List, r *infer.Response) *infer.Error {
	return c.decoder.DecodeStream(m, call, message, r)
}
