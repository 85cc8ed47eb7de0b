package tfserving

import (
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/slab"
)

// codec is Predict. It implements [upstream.Codec].
type codec struct {
	encoder *tfserving.RequestEncoder
	decoder *tfserving.ResponseDecoder
}

func newCodec(pool *slab.Pool) upstream.Codec {
	return &codec{tfserving.NewRequestEncoder(pool), tfserving.NewResponseDecoder(pool)}
}

// Encode implements [upstream.Codec].
func (c *codec) Encode(b *infer.Batch, name, number string, q *upstream.Question) *infer.Error {
	q.Path = predictPath
	return c.encoder.Encode(b, name, number, q.Body)
}

// Decode implements [upstream.Codec].
func (c *codec) Decode(b *infer.Batch, answer upstream.Answer, r *infer.Response) *infer.Error {
	return c.decoder.Decode(b.Model, b, answer.Body, r)
}
