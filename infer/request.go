package infer

import (
	"slices"
	"sync/atomic"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// keepArena bounds the scratch that a pooled request keeps for its next use.
const keepArena = 16 << 10

// Input is a tensor of a request.
type Input struct {
	// Index is the input's place in Model.Inputs.
	Index int
	tensor.Tensor
	// Region is where the tensor lies if that is not in the request; nil: it is here.
	Region *Region
	// Params are the parameters of the tensor that the model may see, of the request's memory. Requests that differ in them
	// are never merged.
	Params []Param
}

// ParamKind is the type of a parameter's value.
type ParamKind uint8

// The kinds of parameter values.
const (
	ParamString ParamKind = iota
	ParamInt
	ParamBool
	ParamFloat
	ParamUint // an integer above the range of Int, which holds its bits
)

// Param is a parameter that a model may see, or that it answers. Scheduling parameters of requests (id,
// priority, timeout) and those of the encoding are not among them.
type Param struct {
	Key    []byte
	Kind   ParamKind
	String []byte
	Int    int64 // also 0 or 1 for a bool
	Float  float64
}

// Request is what was asked: immutable once decoded, counted, shared by all of its calls.
type Request struct {
	// Route is what the request was decoded against.
	Route *Route
	// ID is the client's own id, echoed in the answer; may be empty.
	ID []byte
	// Inputs are in the order in which the client sent them.
	Inputs []Input
	// Outputs are the places in Model.Outputs that were asked for, in that order; empty: all.
	Outputs []int
	// Params are the semantic parameters: requests that differ in them are never merged.
	Params []Param
	// HeaderValues answer Route.Headers, in that order; nil where the header was absent.
	HeaderValues [][]byte
	// Trail is what the servers behind are told of the request beside what it asks.
	Trail Trail
	// Rows is the length of the batch axis, 1 where the model has none.
	Rows int64
	// Bytes is the size of the inputs' data.
	Bytes int64
	// Classified are the places in Model.Outputs for which the highest classes were asked in place of the tensor.
	Classified []int
	// Regions tells that tensors lie, or are to lie, in regions of shared memory: such a request runs by itself, at the
	// server that knows them. OutputRegions are those of Outputs, in that order; shorter, or nil, where there is none.
	Regions       bool
	OutputRegions []*Region
	// Body is the encoded form as it came, with what the decoder did not understand; Encoding says what form.
	Body     slab.List
	Encoding Encoding
	// BodyName and BodyVersion are what Body calls the model that it asks for, where Encoding is set. Over REST the
	// path says it.
	BodyName, BodyVersion []byte
	// BodyHead is the length of the JSON in Body, where Encoding is KServeREST.
	BodyHead int

	hold  Hold
	refs  atomic.Int32
	shard uint32
	mem   *Memory
	dims  []int64
	arena []byte
}

// NewRequest returns an empty request with one reference, the caller's.
func (m *Memory) NewRequest() *Request {
	r, _ := m.requests.Get().(*Request)
	if r == nil {
		r = &Request{mem: m, shard: m.shard()}
	}
	m.shards[r.shard].requests.Add(1)
	r.refs.Store(1)
	return r
}

// Shard is a number that spreads requests evenly, for sharded counters.
func (r *Request) Shard() uint32 { return r.shard }

// Bind gives the request its route, and the hold that keeps the route's generation.
func (r *Request) Bind(route *Route, q *Query) {
	r.Route, r.hold = route, q.Hold
	q.Hold = Hold{}
}

// AddInput appends an empty input. The pointer is good until the next one is added.
func (r *Request) AddInput() *Input {
	n := len(r.Inputs)
	if n < cap(r.Inputs) {
		r.Inputs = r.Inputs[:n+1]
	} else {
		r.Inputs = append(r.Inputs, Input{})
	}
	return &r.Inputs[n]
}

// Dims returns room for n dimensions that lives as long as the request.
func (r *Request) Dims(n int) []int64 {
	at := len(r.dims)
	r.dims = slices.Grow(r.dims, n)[:at+n]
	return r.dims[at : at+n : at+n]
}

// Keep copies b to memory that lives as long as the request.
func (r *Request) Keep(b []byte) []byte {
	at := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[at:len(r.arena):len(r.arena)]
}

// Retain adds a reference.
func (r *Request) Retain() {
	if r.refs.Add(1) <= 1 {
		panic("BUG: infer: request retained after release")
	}
}

// Release drops a reference. The last one drops the slabs and the hold on the generation.
func (r *Request) Release() {
	switch n := r.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: infer: request released twice")
	}
	for i := range r.Inputs {
		in := &r.Inputs[i]
		in.Release()
		in.Region = nil
		clear(in.Params)
		in.Params = in.Params[:0]
	}
	r.Regions, r.OutputRegions = false, nil
	r.Body.Release()
	r.hold.Drop()
	r.Route, r.ID, r.Trail = nil, nil, Trail{}
	r.Encoding, r.BodyName, r.BodyVersion, r.BodyHead = NoEncoding, nil, nil, 0
	r.Inputs, r.Outputs, r.Classified = r.Inputs[:0], r.Outputs[:0], r.Classified[:0]
	clear(r.Params)
	r.Params = r.Params[:0]
	clear(r.HeaderValues)
	r.HeaderValues = r.HeaderValues[:0]
	r.Rows, r.Bytes = 0, 0
	if cap(r.arena) > keepArena {
		r.arena = nil
	}
	r.arena, r.dims = r.arena[:0], r.dims[:0]
	r.mem.shards[r.shard].requests.Add(-1)
	r.mem.requests.Put(r)
}
