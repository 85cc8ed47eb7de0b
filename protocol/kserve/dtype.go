package kserve

import (
	"github.com/sluice-serving/sluice/tensor"
)

// ParseDType returns the data type that a server means, whose word for it may be one of tensor libraries.
func ParseDType(said []byte) tensor.DType {
	if d := tensor.ParseDType(said); d != tensor.Invalid {
		return d
	}
	for _, alias := range [...]struct {
		name string
		d    tensor.DType
	}{
		{"STRING", tensor.Bytes},
		{"STR", tensor.Bytes},
		{"BYTE", tensor.Bytes},
		{"FLOAT", tensor.FP32},
		{"FLOAT32", tensor.FP32},
		{"DOUBLE", tensor.FP64},
		{"FLOAT64", tensor.FP64},
		{"FLOAT16", tensor.FP16},
		{"BFLOAT16", tensor.BF16},
		{"BOOLEAN", tensor.Bool},
	} {
		if isWord(said, alias.name) {
			return alias.d
		}
	}
	return upperDType(said)
}

// isWord tells whether b is a word, in upper case or lower.
func isWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if c|0x20 != word[i]|0x20 {
			return false
		}
	}
	return true
}

// upperDType is tensor.ParseDType of a word in lower case, such as numpy's int64.
func upperDType(said []byte) tensor.DType {
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		if isWord(said, d.String()) {
			return d
		}
	}
	return tensor.Invalid
}
