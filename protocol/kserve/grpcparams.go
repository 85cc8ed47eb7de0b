package kserve

import (
	"bytes"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
)

// The fields of the entries of a map of parameters, and of InferParameter.
const (
	keyEntryKey   = 1<<3 | message.Bytes
	keyEntryValue = 2<<3 | message.Bytes

	keyParamBool   = 1<<3 | message.Varint
	keyParamInt    = 2<<3 | message.Varint
	keyParamString = 3<<3 | message.Bytes
	keyParamDouble = 4<<3 | message.Fixed64
	keyParamUint   = 5<<3 | message.Varint
)

// readParameter reads one entry of a map of parameters into list, where the last of a key stands. The entry points to
// what string returns.
func readParameter(r *message.Reader, field string, list *[]Param) {
	var key []byte
	p := Param{unset: true}
	outer := r.Enter(field)
	for k, ok := r.Key(field); ok; k, ok = r.Key(field) {
		switch k {
		case keyEntryKey:
			key = r.String(field)
		case keyEntryValue:
			readParamValue(r, field, &p)
		default:
			r.Skip(field, k)
		}
	}
	r.Leave(outer)
	p.Key = key
	for i := range *list {
		if bytes.Equal((*list)[i].Key, key) {
			(*list)[i] = p
			return
		}
	}
	if len(*list) == text.MaxMembers {
		r.Fail(field, "more than 64 members")
		return
	}
	*list = append(*list, p)
}

// readParamValue reads an InferParameter, of whose fields the last one counts.
func readParamValue(r *message.Reader, field string, p *Param) {
	outer := r.Enter(field)
	for key, ok := r.Key(field); ok; key, ok = r.Key(field) {
		switch key {
		case keyParamBool:
			v, _ := r.Varint(field)
			*p = Param{Param: infer.Param{Kind: infer.ParamBool}}
			if v != 0 {
				p.Int = 1
			}
		case keyParamInt:
			v, _ := r.Varint(field)
			*p = Param{Param: infer.Param{Kind: infer.ParamInt, Int: int64(v)}}
		case keyParamString:
			*p = Param{Param: infer.Param{Kind: infer.ParamString, String: r.String(field)}}
		case keyParamDouble:
			*p = Param{Param: infer.Param{Kind: infer.ParamFloat, Float: math.Float64frombits(r.Fixed(field, 8))}}
		case keyParamUint:
			v, _ := r.Varint(field)
			*p = Param{Param: infer.Param{Kind: infer.ParamInt, Int: int64(v)}, Big: v > math.MaxInt64}
		default:
			r.Skip(field, key)
		}
	}
	r.Leave(outer)
}
