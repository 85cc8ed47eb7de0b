package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

// dump writes fields in one canonical form, which parses to the same fields.
func dump(fields []pbField) string {
	var b strings.Builder
	for _, f := range fields {
		switch f.kind {
		case pbMessage:
			fmt.Fprintf(&b, "%s { %s} ", f.name, dump(f.fields))
		case pbString:
			fmt.Fprintf(&b, "%s: %s ", f.name, quotePB(f.text))
		default:
			fmt.Fprintf(&b, "%s: %s ", f.name, f.text)
		}
	}
	return b.String()
}

func quotePB(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "\\%03o", s[i])
	}
	return `"` + b.String() + `"`
}

func TestParsePBText(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"", ""},
		{"# nothing\n", ""},
		{"a: 1", "a: 1 "},
		{"a:1,b:-2;c:0x1F", "a: 1 b: -2 c: 0x1F "},
		{`s: "x" 'y' "\n\x41\101"`, `s: "\170\171\012\101\101" `},
		{"m { a: 1 } n: < b: 2 >", "m { a: 1 } n { b: 2 } "},
		{"l: [1, 2, 3] e: []", "l: 1 l: 2 l: 3 "},
		{"m [ {a: 1}, {a: 2} ]", "m { a: 1 } m { a: 2 } "},
		{"t: TYPE_FP32 # trailing\nu: true", "t: TYPE_FP32 u: true "},
		{"f: 1.5e-3", "f: 1.5e-3 "},
	} {
		fields, err := parsePBText([]byte(c.src))
		if err != nil {
			t.Errorf("%q: %v", c.src, err)
			continue
		}
		if got := dump(fields); got != c.want {
			t.Errorf("%q: got %q, want %q", c.src, got, c.want)
		}
	}
}

func TestParsePBTextRefuses(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a", `line 1: field "a" has no value`},
		{"\na 1", `line 2: field "a" has no value`},
		{"a: ", "line 1: the file ends"},
		{"m {", "line 1: the file ends inside a message"},
		{"m { a: 1 >", "unexpected '>'"},
		{"}", "unexpected '}'"},
		{`s: "x`, "the file ends inside a string"},
		{"s: \"x\n\"", "a string ends with its line"},
		{`s: "\q"`, "unknown escape"},
		{`s: "\777"`, "unknown escape"},
		{"l: [1 2]", "want a comma or ]"},
		{"l: [1", "want a comma or ]"},
		{": 1", "unexpected ':'"},
		{"é: 1", "unexpected 'é'"},
		{"a: \xff", "not UTF-8"},
		{strings.Repeat("m {", 40), "nest deeper"},
		{strings.Repeat(" ", maxPBText+1), "longer than"},
	} {
		if _, err := parsePBText([]byte(c.src)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: got %v, want an error with %q", c.src, err, c.want)
		}
	}
}

func TestReadConfig(t *testing.T) {
	const src = `
name: "m"  platform: "onnxruntime_onnx"
max_batch_size: 16
input [
  { name: "a" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, -1 ] optional: true },
  { name: "b" data_type: TYPE_STRING dims: [ 1 ] reshape: { shape: [ ] } }
]
output { name: "c" data_type: TYPE_BF16 dims: 2 dims: 3 label_filename: "l.txt" }
instance_group [ { count: 2 kind: KIND_GPU } ]
dynamic_batching { max_queue_delay_microseconds: 100 }
`
	c := modelConfig{maxBatch: -1, file: "model.onnx"}
	if err := c.parse([]byte(src), "m"); err != nil {
		t.Fatal(err)
	}
	want := modelConfig{
		maxBatch: 16, file: "model.onnx",
		inputs: []tensorConfig{
			{name: "a", dtype: tensor.FP32, dims: []int64{3, -1}, hasDims: true, optional: true},
			{name: "b", dtype: tensor.Bytes, dims: []int64{1}, hasDims: true, reshaped: true},
		},
		outputs:  []tensorConfig{{name: "c", dtype: tensor.BF16, dims: []int64{2, 3}, hasDims: true, labels: "l.txt"}},
		warnings: []string{"config.pbtxt: ignored: dynamic_batching, input.format, input.reshape, instance_group"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for _, bad := range []struct{ src, want string }{
		{`max_batch_size: "x"`, "max_batch_size: want a number"},
		{`max_batch_size: -1`, "out of range"},
		{`max_batch_size: 1.5`, "no integer"},
		{`input: 3`, "want a message"},
		{`input { data_type: TYPE_FP32 }`, "name is missing"},
		{`input { name: "a" data_type: FP32 }`, "unknown data_type"},
		{`input { name: "a" data_type: TYPE_BYTES }`, "unknown data_type"},
		{`input { name: "a" dims: [ -2 ] }`, "no dimension"},
		{`input { name: "a" } input { name: "a" }`, "there twice"},
		{`default_model_filename: "/etc/passwd"`, "no plain file name"},
		{`name: "other"`, "not the folder's name"},
	} {
		c := modelConfig{}
		if err := c.parse([]byte(bad.src), "m"); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q: got %v, want an error with %q", bad.src, err, bad.want)
		}
	}
}

func FuzzPBText(f *testing.F) {
	f.Add([]byte(`name: "m" max_batch_size: 8 input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, -1 ] } ]`))
	f.Add([]byte("m < a: 'x' \"y\\n\\x41\" > # comment\nl: [1, 2];"))
	if src, err := os.ReadFile(filepath.Join("../../examples/digits/models/digits", configName)); err == nil {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fields, err := parsePBText(src)
		if err != nil {
			return
		}
		canonical := dump(fields)
		again, err := parsePBText([]byte(canonical))
		if err != nil && len(canonical) <= maxPBText {
			t.Fatalf("%q was read from %q and is refused: %v", canonical, src, err)
		}
		if err == nil && dump(again) != canonical {
			t.Fatalf("%q was read again as %q", canonical, dump(again))
		}
		c := modelConfig{maxBatch: -1, file: "model.onnx"}
		if err := c.parse(src, "m"); err == nil && (c.maxBatch < -1 || c.file != filepath.Base(c.file)) {
			t.Fatalf("%q gives %+v", src, c)
		}
	})
}
