package kserve

import (
	"bytes"
	"math"

	"github.com/sluice-serving/sluice/infer"
)

// The fields of the entries of a map of parameters, and of InferParameter.
const (
	keyEntryKey   = 1<<3 | wireBytes
	keyEntryValue = 2<<3 | wireBytes

	keyParamBool   = 1<<3 | wireVarint
	keyParamInt    = 2<<3 | wireVarint
	keyParamString = 3<<3 | wireBytes
	keyParamDouble = 4<<3 | wireFixed64
	keyParamUint   = 5<<3 | wireVarint
)

// parameter reads one entry of a map of parameters into list, where the last of a key stands. The entry points to
// what string returns.
func (r *messageReader) parameter(field string, list *[]param) {
	var key []byte
	p := param{unset: true}
	outer := r.enter(field)
	for k, ok := r.key(field); ok; k, ok = r.key(field) {
		switch k {
		case keyEntryKey:
			key = r.string(field)
		case keyEntryValue:
			r.paramValue(field, &p)
		default:
			r.skip(field, k)
		}
	}
	r.leave(outer)
	p.Key = key
	for i := range *list {
		if bytes.Equal((*list)[i].Key, key) {
			(*list)[i] = p
			return
		}
	}
	if len(*list) == maxMembers {
		r.fail(field, "more than 64 members")
		return
	}
	*list = append(*list, p)
}

// paramValue reads an InferParameter, of whose fields the last one counts.
func (r *messageReader) paramValue(field string, p *param) {
	outer := r.enter(field)
	for key, ok := r.key(field); ok; key, ok = r.key(field) {
		switch key {
		case keyParamBool:
			v, _ := r.varint(field)
			*p = param{Param: infer.Param{Kind: infer.ParamBool}}
			if v != 0 {
				p.Int = 1
			}
		case keyParamInt:
			v, _ := r.varint(field)
			*p = param{Param: infer.Param{Kind: infer.ParamInt, Int: int64(v)}}
		case keyParamString:
			*p = param{Param: infer.Param{Kind: infer.ParamString, String: r.string(field)}}
		case keyParamDouble:
			*p = param{Param: infer.Param{Kind: infer.ParamFloat, Float: math.Float64frombits(r.fixed(field, 8))}}
		case keyParamUint:
			v, _ := r.varint(field)
			*p = param{Param: infer.Param{Kind: infer.ParamInt, Int: int64(v)}, big: v > math.MaxInt64}
		default:
			r.skip(field, key)
		}
	}
	r.leave(outer)
}
