package infer_test

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
)

func TestSequence(t *testing.T) {
	number := func(n int64) infer.Param {
		return infer.Param{Key: []byte("sequence_id"), Kind: infer.ParamInt, Int: n}
	}
	text := func(s string) infer.Param { return infer.Param{Key: []byte("sequence_id"), String: []byte(s)} }
	other := infer.Param{Key: []byte("sequence_start"), Kind: infer.ParamBool, Int: 1}
	seen := map[uint64]string{}
	for _, tc := range []struct {
		name   string
		params []infer.Param
		none   bool
	}{
		{name: "no parameter", none: true},
		{name: "another parameter", params: []infer.Param{other}, none: true},
		{name: "number 0", params: []infer.Param{number(0)}, none: true},
		{name: "empty text", params: []infer.Param{text("")}, none: true},
		{name: "number 1", params: []infer.Param{other, number(1)}},
		{name: "number 2", params: []infer.Param{number(2)}},
		{name: "number -1", params: []infer.Param{number(-1)}},
		{name: "text 1", params: []infer.Param{text("1")}},
		{name: "text ab", params: []infer.Param{text("ab"), other}},
		{name: "text ba", params: []infer.Param{text("ba")}},
	} {
		r := infer.Request{Params: tc.params}
		got := r.Sequence()
		if (got == 0) != tc.none {
			t.Errorf("%s: sequence %d, want none: %t", tc.name, got, tc.none)
		}
		if same, ok := seen[got]; ok && got != 0 {
			t.Errorf("%s: the same sequence as %s", tc.name, same)
		}
		seen[got] = tc.name
	}
}
