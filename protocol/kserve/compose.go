package kserve

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
)

// appendParam appends a parameter as an entry of the map that is field key of a message.
func appendParam(b []byte, key byte, p *infer.Param) []byte {
	value := paramSize(p)
	b = binary.AppendUvarint(append(b, key), uint64(message.StringSize(len(p.Key))+message.FieldSize(value)))
	b = message.AppendField(b, keyEntryKey, p.Key)
	b = binary.AppendUvarint(append(b, keyEntryValue), uint64(value))
	switch p.Kind {
	case infer.ParamBool:
		return append(b, keyParamBool, byte(p.Int))
	case infer.ParamInt:
		return binary.AppendUvarint(append(b, keyParamInt), uint64(p.Int))
	case infer.ParamUint:
		return binary.AppendUvarint(append(b, keyParamUint), uint64(p.Int))
	case infer.ParamFloat:
		return binary.LittleEndian.AppendUint64(append(b, keyParamDouble), math.Float64bits(p.Float))
	}
	b = binary.AppendUvarint(append(b, keyParamString), uint64(len(p.String)))
	return append(b, p.String...)
}

// paramEntrySize returns what appendParam appends.
func paramEntrySize(p *infer.Param) int {
	return message.FieldSize(message.StringSize(len(p.Key)) + message.FieldSize(paramSize(p)))
}

// paramSize returns the encoded length of an InferParameter.
func paramSize(p *infer.Param) int {
	switch p.Kind {
	case infer.ParamBool:
		return 2
	case infer.ParamInt, infer.ParamUint:
		return 1 + message.VarintSize(uint64(p.Int))
	case infer.ParamFloat:
		return 1 + 8
	}
	return message.FieldSize(len(p.String))
}
