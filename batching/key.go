package batching

import (
	"bytes"
	"math"
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// key says which requests of a queue may be merged: those with the same inputs, equal in type and in all
// axes but the first, and the same of everything else that the model gets to see. The order of inputs and
// parameters does not matter.
type key struct {
	hash    uint64
	inputs  []keyInput
	params  []infer.Param
	headers [][]byte // nil: the header was absent
}

type keyInput struct {
	index  int
	dtype  tensor.DType
	dims   []int64 // all but the first
	params []infer.Param
}

// makeKey returns the key of r in memory of its own. hash is hashOf(r, headers).
func makeKey(r *infer.Request, headers []int, hash uint64) key {
	k := key{hash: hash}
	for i := range r.Inputs {
		in := &r.Inputs[i]
		k.inputs = append(k.inputs, keyInput{in.Index, in.DType, slices.Clone(in.Shape[1:]), cloneParams(in.Params)})
	}
	k.params = cloneParams(r.Params)
	for _, h := range headers {
		k.headers = append(k.headers, bytes.Clone(headerValue(r, h)))
	}
	return k
}

func cloneParams(list []infer.Param) []infer.Param {
	list = slices.Clone(list)
	for i := range list {
		p := &list[i]
		p.Key, p.String = bytes.Clone(p.Key), bytes.Clone(p.String)
	}
	return list
}

func headerValue(r *infer.Request, i int) []byte {
	if i >= len(r.HeaderValues) {
		return nil
	}
	return r.HeaderValues[i]
}

// matches tells whether k is the key of r.
func (k *key) matches(r *infer.Request, headers []int) bool {
	if len(k.inputs) != len(r.Inputs) || !sameParams(k.params, r.Params) {
		return false
	}
	for i := range r.Inputs {
		if !k.hasInput(&r.Inputs[i], i) {
			return false
		}
	}
	for i, h := range headers {
		v := headerValue(r, h)
		if (v == nil) != (k.headers[i] == nil) || !bytes.Equal(v, k.headers[i]) {
			return false
		}
	}
	return true
}

// hasInput looks for in, first where it stands if the request has the order of the key. Indexes do not occur
// twice in a request, so the lists are the same if each is found and they are of one length.
func (k *key) hasInput(in *infer.Input, at int) bool {
	if k.inputs[at].index != in.Index {
		at = slices.IndexFunc(k.inputs, func(o keyInput) bool { return o.index == in.Index })
		if at < 0 {
			return false
		}
	}
	o := &k.inputs[at]
	return o.dtype == in.DType && slices.Equal(o.dims, in.Shape[1:]) && sameParams(o.params, in.Params)
}

// sameParams tells whether two lists of parameters, in which no key occurs twice, are the same but for their order.
func sameParams(own, other []infer.Param) bool {
	if len(own) != len(other) {
		return false
	}
	for i := range other {
		if !hasParam(own, &other[i], i) {
			return false
		}
	}
	return true
}

// hasParam looks for p, first at a place.
func hasParam(list []infer.Param, p *infer.Param, at int) bool {
	if !bytes.Equal(list[at].Key, p.Key) {
		at = slices.IndexFunc(list, func(o infer.Param) bool { return bytes.Equal(o.Key, p.Key) })
		if at < 0 {
			return false
		}
	}
	o := &list[at]
	return o.Kind == p.Kind && o.Int == p.Int && bytes.Equal(o.String, p.String) &&
		math.Float64bits(o.Float) == math.Float64bits(p.Float)
}

// hashOf returns the same number for requests with the same key. What is in no order is added up.
func hashOf(r *infer.Request, headers []int) uint64 {
	sum := digest(len(r.Inputs))
	for i := range r.Inputs {
		in := &r.Inputs[i]
		h := digest(in.Index).number(uint64(in.DType))
		for _, d := range in.Shape[1:] {
			h = h.number(uint64(d))
		}
		if len(in.Params) > 0 {
			h = h.number(uint64(digestOf(in.Params)))
		}
		sum += h
	}
	sum += digestOf(r.Params)
	for _, h := range headers {
		v := headerValue(r, h)
		if v == nil {
			sum = sum.number(1)
			continue
		}
		sum = sum.number(2).bytes(v)
	}
	return uint64(sum.number(0))
}

// digestOf adds up what parameters come to.
func digestOf(list []infer.Param) (sum digest) {
	for i := range list {
		p := &list[i]
		sum += digest(p.Kind).bytes(p.Key).bytes(p.String).number(uint64(p.Int)).number(math.Float64bits(p.Float))
	}
	return sum
}

// digest is a hash in the making. It only spreads keys: what is equal is found by comparing.
type digest uint64

func (d digest) number(n uint64) digest {
	const odd = 0x9e3779b97f4a7c15
	x := (uint64(d) ^ n) * odd
	return digest(x ^ x>>29)
}

func (d digest) bytes(b []byte) digest {
	d = d.number(uint64(len(b)))
	for _, c := range b {
		d = d.number(uint64(c))
	}
	return d
}
