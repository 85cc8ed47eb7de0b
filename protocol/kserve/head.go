package kserve

import (
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

// Source is a request as it came.
type Source struct {
	// Model is what the request must fit.
	Model *infer.Model
	// Body is the whole request. Decode reads it and leaves its references alone.
	Body *slab.List
	// HeaderLen is the length of the JSON part before binary tensors: [NoHeader] if all of the body is
	// JSON, 0 if the body is nothing but the data of the model's only input. Requests over gRPC have none.
	HeaderLen int
	// MaxBytes bounds the bytes of all tensors that are not sliced from the body, in which they can take
	// less. 0: no bound.
	MaxBytes int64
	// Stream tells that any number of answers can follow the request: it came on a gRPC stream, or whoever asks
	// counts them.
	Stream bool
}

// Head is what a request says beside its tensors: how it is to be scheduled and how its answer is to be
// written. It may be reused; its memory belongs to one request at a time.
type Head struct {
	// Timeout is how long the request may take from its arrival, 0: it does not say.
	Timeout time.Duration
	// Priority is the client's, 0: it does not say.
	Priority uint64
	// Binary asks for binary data for outputs that do not say otherwise.
	Binary bool
	// EmptyFinal asks a stream for an answer without outputs once a decoupled model has sent its last.
	EmptyFinal bool
	// Outputs belong to the request's Outputs, in that order.
	Outputs []OutputForm
}

// OutputForm is how one requested output is to be written.
type OutputForm struct {
	// Binary asks for binary data. Explicit tells that the client named it for this output.
	Binary, Explicit bool
	// Classes, if not 0, asks for that many of the highest values, as text, in place of the tensor.
	Classes int
}

// WantsBinary tells whether the output at place i is to be written as binary data.
func (h *Head) WantsBinary(i int) bool {
	if i < len(h.Outputs) && h.Outputs[i].Explicit {
		return h.Outputs[i].Binary
	}
	return h.Binary
}

func (h *Head) reset() { *h = Head{Outputs: h.Outputs[:0]} }
