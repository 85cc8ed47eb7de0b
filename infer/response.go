package infer

import (
	"slices"
	"sync/atomic"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Output is a tensor of a response.
type Output struct {
	// Index is the output's place in Model.Outputs.
	Index int
	tensor.Tensor
	// Region is where the backend has put the tensor if that is not in the response; nil: it is here.
	Region *Region
	// Params are the parameters that the backend gave with the output, of the response's memory.
	Params []Param
}

// Response is what a run returned: counted, shared by the members of its batch, each of which holds a range
// of its rows.
type Response struct {
	// Outputs are in the order in which the backend gave them.
	Outputs []Output
	// Final marks the last response of a stream, where the backend knows by then.
	Final bool
	// Error makes the response of a stream a failure, after which others may follow.
	Error *Error
	// Params are the parameters that the backend gave with its answer.
	Params []Param
	// Body is the encoded form as it came from a remote backend, empty for one that runs here; Encoding says
	// what form.
	Body     slab.List
	Encoding Encoding
	// BodyName, BodyVersion and BodyID are what Body calls the model that answered and the request, where
	// Encoding is set.
	BodyName, BodyVersion, BodyID []byte

	refs  atomic.Int32
	shard uint32
	mem   *Memory
	dims  []int64
	arena []byte
}

// NewResponse returns an empty response with one reference, the caller's.
func (m *Memory) NewResponse() *Response {
	r, _ := m.responses.Get().(*Response)
	if r == nil {
		r = &Response{mem: m, shard: m.shard()}
	}
	m.shards[r.shard].responses.Add(1)
	r.refs.Store(1)
	return r
}

// AddOutput appends an empty output. The pointer is good until the next one is added.
func (r *Response) AddOutput() *Output {
	n := len(r.Outputs)
	if n < cap(r.Outputs) {
		r.Outputs = r.Outputs[:n+1]
	} else {
		r.Outputs = append(r.Outputs, Output{})
	}
	return &r.Outputs[n]
}

// Dims returns room for n dimensions that lives as long as the response.
func (r *Response) Dims(n int) []int64 {
	at := len(r.dims)
	r.dims = slices.Grow(r.dims, n)[:at+n]
	return r.dims[at : at+n : at+n]
}

// Keep copies b to memory that lives as long as the response.
func (r *Response) Keep(b []byte) []byte {
	at := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[at:len(r.arena):len(r.arena)]
}

// Retain adds a reference.
func (r *Response) Retain() {
	if r.refs.Add(1) <= 1 {
		panic("BUG: infer: response retained after release")
	}
}

// Release drops a reference; the last one drops the slabs.
func (r *Response) Release() {
	switch n := r.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: infer: response released twice")
	}
	for i := range r.Outputs {
		o := &r.Outputs[i]
		o.Release()
		clear(o.Params)
		o.Region, o.Params = nil, o.Params[:0]
	}
	r.Body.Release()
	r.Final, r.Error = false, nil
	r.Encoding, r.BodyName, r.BodyVersion, r.BodyID = NoEncoding, nil, nil, nil
	clear(r.Params)
	r.Params = r.Params[:0]
	if cap(r.arena) > keepArena {
		r.arena = nil
	}
	r.Outputs, r.dims, r.arena = r.Outputs[:0], r.dims[:0], r.arena[:0]
	r.mem.shards[r.shard].responses.Add(-1)
	r.mem.responses.Put(r)
}

// hasRows tells whether every output has n rows.
func (r *Response) hasRows(n int64) bool {
	for i := range r.Outputs {
		if t := &r.Outputs[i].Tensor; len(t.Shape) == 0 || t.Shape[0] != n {
			return false
		}
	}
	return true
}

// Rows is a range along the batch axis of a response. N is -1 for all of a response that is not split.
type Rows struct{ First, N int64 }

// AllRows is the range of a response that answers one call.
var AllRows = Rows{0, -1}

// Of returns how many rows of t the range covers; t has a first axis unless the range is all.
func (r Rows) Of(t *tensor.Tensor) int64 {
	if r.N < 0 {
		return t.Rows()
	}
	return r.N
}

// Append appends the data of t that the range covers to dst.
func (r Rows) Append(dst *slab.List, t *tensor.Tensor) {
	if r.N < 0 {
		dst.AppendList(&t.Data)
		return
	}
	t.AppendRows(dst, r.First, r.N)
}
