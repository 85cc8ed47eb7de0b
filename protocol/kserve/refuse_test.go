package kserve_test

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/tensor"
)

// pair builds a request for addSub with both inputs, the second one's members given.
func pair(second string) string {
	return `{"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","data":[1,2]},{` + second + `}]}`
}

// param builds a request for single(INT8, 1) with parameters.
func withParams(params string) string {
	return `{"parameters":{` + params + `},"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[7]}]}`
}

func withOutputs(outputs string) string {
	return `{"outputs":[` + outputs + `],"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"B","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"p` + strings.Repeat("x", i) + `":1`)
	}
	return b.String()
}

type refusal struct {
	name  string
	model *infer.Model
	body  string
	head  int
	code  infer.Code
	text  string // a part of the error's
}

func refusals() []refusal {
	bad := func(name string, m *infer.Model, body, text string) refusal {
		return refusal{name, m, body, rest.NoHeader, infer.Invalid, text}
	}
	binary := func(name string, m *infer.Model, d, shape string, size any, data, text string) refusal {
		body, head := bin(d, shape, size, data)
		return refusal{name, m, body, head, infer.Invalid, text}
	}
	i8, fp := single(tensor.Int8, 1), single(tensor.FP32, -1)
	numbered := single(tensor.Int8, 1)
	numbered.NumberedSequences = true
	oneOptional := addSub()
	oneOptional.Inputs[1].Optional = true
	list := []refusal{
		bad("nothing", i8, "", "expected an object at byte 0"),
		bad("empty object", i8, "{}", `for model 'm' has no "inputs"`),
		bad("array", i8, "[]", "expected an object at byte 0"),
		bad("null", i8, "null", "expected an object at byte 0"),
		bad("white space", i8, strings.Repeat(" ", 10_000), "expected an object at byte 10000"),
		bad("byte order mark", i8, "\ufeff"+in("INT8", "[1]", "[1]"), "expected an object at byte 0"),
		bad("trailing text", i8, in("INT8", "[1]", "[1]")+"x", "unexpected text after the document at byte 66"),
		bad("comment", i8, "/* */"+in("INT8", "[1]", "[1]"), "expected an object at byte 0"),
		bad("cut short", i8, in("INT8", "[1]", "[1]")[:40], "cannot be parsed"),
		bad("deep data", i8, in("INT8", "[1]", strings.Repeat("[", 98)+"1"+strings.Repeat("]", 98)), "nested deeper than 100 levels"),
		bad("deep data before the shape", i8, `{"inputs":[{"data":`+strings.Repeat("[", 250_000), "nested deeper than 100 levels"),
		bad("inputs twice", i8, `{"inputs":[],"inputs":[]}`, "duplicate key at byte 13"),
		bad("shape twice", i8, `{"inputs":[{"shape":[1],"shape":[1]}]}`, "duplicate key"),
		bad("name twice, once escaped", i8, `{"inputs":[{"name":"x","n\u0061me":"x"}]}`, "duplicate key"),
		bad("inputs is no array", i8, `{"inputs":{}}`, "expected an array at byte 10"),
		bad("input is no object", i8, `{"inputs":[1]}`, "expected an object at byte 11"),
		bad("name is no string", i8, `{"inputs":[{"name":1}]}`, "expected a string"),
		bad("name is null", i8, `{"inputs":[{"name":null}]}`, "expected a string"),
		bad("no name", i8, `{"inputs":[{"datatype":"INT8","shape":[1],"data":[1]}]}`, `input number 0 of the request for model 'm' has no "name"`),
		bad("no datatype", i8, `{"inputs":[{"name":"x","shape":[1],"data":[1]}]}`, `input 'x' of the request for model 'm' has no "datatype"`),
		bad("no shape", i8, `{"inputs":[{"name":"x","datatype":"INT8","data":[1]}]}`, `input 'x' of the request for model 'm' has no "shape"`),
		bad("no data", i8, `{"inputs":[{"name":"x","datatype":"INT8","shape":[1]}]}`, `input 'x' of model 'm' has neither "data" nor a binary_data_size`),
		bad("both data and size", i8, `{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1],"parameters":{"binary_data_size":1}}]}`, `has both "data" and a binary_data_size`),
		bad("both size and data", i8, `{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1},"data":[1]}]}`, `has both "data" and a binary_data_size`),
		bad("data is no array", i8, in("INT8", "[1]", "1"), "expected an array"),
		bad("data is null", i8, in("INT8", "[1]", "null"), "expected an array"),
		bad("data is no array, before the shape", i8, `{"inputs":[{"data":{},"name":"x","datatype":"INT8","shape":[1]}]}`, "expected an array"),

		bad("unknown datatype", i8, in("FLOAT", "[1]", "[1]"), "input 'x' of model 'm' has the unknown data type 'FLOAT'"),
		bad("lower-case datatype", i8, in("int8", "[1]", "[1]"), "unknown data type 'int8'"),
		bad("another datatype", i8, in("INT16", "[1]", "[1]"), "inference input 'x' data-type is 'INT16', but model 'm' expects 'INT8'"),
		bad("negative dimension", fp, in("FP32", "[-1]", "[1]"), "the shape of input 'x' of model 'm' has a negative dimension"),
		bad("dimension 2^63", fp, in("FP32", "[9223372036854775808]", "[1]"), "dimension that does not fit 63 bits"),
		bad("dimension with a fraction", fp, in("FP32", "[1.0]", "[1]"), "dimension that is not a whole number"),
		bad("dimension with an exponent", fp, in("FP32", "[1e0]", "[1]"), "dimension that is not a whole number"),
		bad("dimension as text", fp, in("FP32", `["1"]`, "[1]"), "dimension that is not a whole number"),
		bad("broken dimension", fp, in("FP32", `[x]`, "[1]"), "cannot be parsed"),
		bad("33 dimensions", fp, in("FP32", "["+strings.Repeat("1,", 32)+"1]", "[1]"), "more than 32 dimensions"),
		bad("1,000 dimensions", fp, in("FP32", "["+strings.Repeat("1,", 999)+"1]", "[1]"), "more than 32 dimensions"),
		bad("other rank", fp, in("FP32", "[1,1]", "[1]"), "unexpected shape for input 'x' for model 'm'. Expected [-1], got [1,1]"),
		bad("rank 0", fp, in("FP32", "[]", "[1]"), "unexpected shape for input 'x' for model 'm'. Expected [-1], got []"),
		bad("other fixed dimension", i8, in("INT8", "[2]", "[1,2]"), "Expected [1], got [2]"),
		bad("fixed dimension 0", i8, in("INT8", "[0]", "[]"), "Expected [1], got [0]"),
		bad("elements overflow 1", single(tensor.FP32, -1, -1), in("FP32", "[16,1152921504606846978]", "[1]"), "input 'x' of model 'm': shape has more elements than fit 63 bits"),
		bad("elements overflow 2", single(tensor.FP32, -1, -1), in("FP32", "[5,7378697629483820648]", "[1]"), "more elements than fit 63 bits"),
		bad("elements overflow 3", single(tensor.FP32, -1, -1), in("FP32", "[4294967296,4294967297]", "[1]"), "more elements than fit 63 bits"),
		bad("overflow behind a 0", single(tensor.FP32, -1, -1, -1), in("FP32", "[0,4294967296,4294967297]", "[]"), "more elements than fit 63 bits"),
		bad("bytes overflow", single(tensor.FP32, -1, -1), in("FP32", "[4,1152921504606846978]", "[1]"), "more elements than fit 63 bits"),
		bad("more elements than the text can hold", fp, in("FP32", "[1000000000000]", "[1]"), "shape [1000000000000] needs 1000000000000 elements, got fewer"),

		bad("few elements", single(tensor.Int8, 3), in("INT8", "[3]", "[1,[2]]"), "input 'x' of model 'm': shape [3] needs 3 elements, got"),
		bad("few elements, long text", single(tensor.Int8, 3), in("INT8", "[3]", "[100,          2]"), "shape [3] needs 3 elements, got 2"),
		bad("many elements", i8, in("INT8", "[1]", "[1,2]"), "shape [1] needs 1 elements, got more"),
		bad("elements of an empty tensor", fp, in("FP32", "[0]", "[1]"), "shape [0] needs 0 elements, got more"),
		bad("few strings", single(tensor.Bytes, 2), in("BYTES", "[2]", `["abcdef"]`), "shape [2] needs 2 elements, got 1"),
		bad("many strings", single(tensor.Bytes, 1), in("BYTES", "[1]", `["a","b"]`), "shape [1] needs 1 elements, got 2"),
		bad("number as text", fp, in("FP32", "[1]", `["1"]`), "input 'x' of model 'm': element 0 is not a value of data type FP32"),
		bad("bool as number", fp, in("FP32", "[2]", `[1,true]`), "element 1 is not a value of data type FP32"),
		bad("null", fp, in("FP32", "[2]", `[1,null]`), "element 1 is not a value of data type FP32"),
		bad("object as number", fp, in("FP32", "[2]", `[1,{"a":[]}]`), "element 1 is not a value of data type FP32"),
		bad("number as bool", single(tensor.Bool, 1), in("BOOL", "[1]", `[1]`), "element 0 is not a value of data type BOOL"),
		bad("number as string", single(tensor.Bytes, 1), in("BYTES", "[1]", `[12345]`), "element 0 is not a value of data type BYTES"),
		bad("1e400", fp, in("FP32", "[1]", `[1e400]`), "element 0 is out of the range of data type FP32"),
		bad("1e39", fp, in("FP32", "[1]", `[-1e39]`), "element 0 is out of the range of data type FP32"),
		bad("65520 as FP16", single(tensor.FP16, 1), in("FP16", "[1]", `[65520]`), "element 0 is out of the range of data type FP16"),
		bad("1e309 as FP64", single(tensor.FP64, 1), in("FP64", "[1]", `[1e309]`), "element 0 is out of the range of data type FP64"),
		bad("300 as UINT8", single(tensor.Uint8, 2), in("UINT8", "[2]", `[[0],[300]]`), "element 1 is out of the range of data type UINT8"),
		bad("-1 as UINT64", single(tensor.Uint64, 1), in("UINT64", "[1]", `[-1]`), "element 0 is out of the range of data type UINT64"),
		bad("1.5 as INT32", single(tensor.Int32, 1), in("INT32", "[1]", `[1.5]`), "element 0 has a fraction or an exponent, which data type INT32 does not take"),
		bad("1.0 as INT32", single(tensor.Int32, 1), in("INT32", "[1]", `[1.0]`), "element 0 has a fraction or an exponent"),
		bad("NaN as INT32", single(tensor.Int32, 1), in("INT32", "[1]", `[NaN]`), "element 0 is not a value of data type INT32"),
		bad("nan", fp, in("FP32", "[1]", `[nan]`), "cannot be parsed: invalid value"),
		bad("leading zero", fp, in("FP32", "[1]", `[01]`), "cannot be parsed: invalid number"),
		bad("lone surrogate", single(tensor.Bytes, 1), in("BYTES", "[1]", `["\ud800"]`), "cannot be parsed: invalid escape in a string"),
		bad("invalid UTF-8", single(tensor.Bytes, 1), in("BYTES", "[1]", "[\"\xff\"]"), "cannot be parsed: invalid UTF-8 in a string"),
		bad("broken number before the shape", fp, `{"inputs":[{"data":[1.],"name":"x","datatype":"FP32","shape":[1]}]}`, "invalid number at byte 22"),
		bad("NaN in an unknown field", i8, `{"x":NaN}`, "expected a value at byte 5"),

		bad("no inputs", addSub(), `{"inputs":[]}`, "expected 2 inputs but got 0 inputs for model 'addsub'. Got input(s) [], but missing required input(s) ['A','B']. Please provide all required input(s)"),
		bad("missing one beside an optional one", oneOptional, `{"inputs":[]}`, "expected between 1 and 2 inputs but got 0 inputs for model 'addsub'. Got input(s) [], but missing required input(s) ['A']"),
		bad("broken", addSub(), `{"inputs":`, "the request for model 'addsub' cannot be parsed: "),
		bad("missing input", addSub(), `{"inputs":[{"name":"B","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, "expected 2 inputs but got 1 inputs for model 'addsub'. Got input(s) ['B'], but missing required input(s) ['A']"),
		bad("unknown input", addSub(), pair(`"name":"C","shape":[1,2],"datatype":"FP32","data":[1,2]`), "unexpected inference input 'C' for model 'addsub', its inputs are ['A', 'B']"),
		bad("duplicate input", addSub(), pair(`"name":"A","shape":[1,2],"datatype":"FP32","data":[1,2]`), "input 'A' already exists in the request for model 'addsub'"),
		bad("rows that differ", addSub(), pair(`"name":"B","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]`), "input 'B' batch size 2 does not match that of input 'A', 1, for model 'addsub'"),
		bad("too many rows", optional(), `{"inputs":[{"name":"A","shape":[9,2],"datatype":"FP32","data":[]}]}`, "inference request batch-size must be <= 8 for model 'addsub', input 'A' has 9"),
		bad("long name", i8, `{"inputs":[{"name":"`+strings.Repeat("n", 1000)+`","shape":[1],"datatype":"INT8","data":[1]}]}`, "unexpected inference input '"+strings.Repeat("n", 128)+"'... for model 'm'"),
		bad("name with line breaks", i8, `{"inputs":[{"name":"\r\n\u001b[31m","shape":[1],"datatype":"INT8","data":[1]}]}`, `unexpected inference input '\r\n\x1b[31m'`),

		bad("unknown output", addSub(), withOutputs(`{"name":"MUL"}`), "unexpected inference output 'MUL' for model 'addsub', its outputs are ['SUM', 'DIFF']"),
		bad("duplicate output", addSub(), withOutputs(`{"name":"SUM"},{"name":"SUM"}`), "output 'SUM' already exists in the request for model 'addsub'"),
		bad("output without a name", addSub(), withOutputs(`{}`), `output 0 of the request for model 'addsub' has no "name"`),
		bad("binary_data as number", addSub(), withOutputs(`{"name":"SUM","parameters":{"binary_data":1}}`), "parameter 'binary_data' must be true or false"),
		bad("classification -1", addSub(), withOutputs(`{"name":"SUM","parameters":{"classification":-1}}`), "parameter 'classification' must be"),
		bad("classification 2^31", addSub(), withOutputs(`{"name":"SUM","parameters":{"classification":2147483648}}`), "parameter 'classification' must be"),
		bad("classification 2^64", addSub(), withOutputs(`{"name":"SUM","parameters":{"classification":18446744073709551616}}`), "parameter 'classification' is out of range"),
		bad("classification as text", addSub(), withOutputs(`{"name":"SUM","parameters":{"classification":"3"}}`), "parameter 'classification' must be"),
		bad("classification of strings", single(tensor.Bytes, 1), `{"outputs":[{"parameters":{"classification":1},"name":"y"}],"inputs":[]}`, "output 'y' of model 'm' cannot be classified: its data type is BYTES"),
		bad("classification of bools", single(tensor.Bool, 1), `{"outputs":[{"name":"y","parameters":{"classification":1}}],"inputs":[]}`, "cannot be classified"),
		bad("outputs is no array", i8, `{"outputs":{}}`, "expected an array"),

		bad("id as number", i8, `{"id":1}`, "expected a string"),
		bad("long id", i8, `{"id":"`+strings.Repeat("x", 257)+`"}`, "the request's id has 257 bytes, the limit is 256"),
		bad("id with a line break", i8, `{"id":"a\r\nSet-Cookie: x"}`, "character that cannot be printed, at byte 1"),
		bad("id with an escape sequence", i8, `{"id":"\u001b[31m"}`, "character that cannot be printed, at byte 0"),
		bad("id with a delete", i8, "{\"id\":\"a\x7f\"}", "character that cannot be printed, at byte 1"),
		bad("parameters is no object", i8, `{"parameters":[]}`, "expected an object"),
		bad("65 parameters", i8, withParams(manyParams(65)), "more than 64 members"),
		bad("nested parameter", i8, withParams(`"p":{}`), "parameter 'p' is not a string, a number or a bool"),
		bad("null parameter", i8, withParams(`"p":null`), "parameter 'p' is not a string, a number or a bool"),
		bad("array parameter", i8, withParams(`"p":[1]`), "parameter 'p' is not a string, a number or a bool"),
		bad("huge parameter", i8, withParams(`"p":1e400`), "parameter 'p' is out of range"),
		bad("unsigned parameter", i8, withParams(`"p":9223372036854775808`), "parameter 'p' is out of range"),
		bad("very negative parameter", i8, withParams(`"p":-9223372036854775809`), "parameter 'p' is out of range"),
		bad("broken parameter", i8, withParams(`"p":1.`), "cannot be parsed: invalid number"),
		bad("NaN parameter", i8, withParams(`"p":NaN`), "cannot be parsed"),
		bad("duplicate parameter", i8, withParams(`"p":1,"p":1`), "duplicate key"),
		bad("triton_ parameter", i8, withParams(`"triton_enable_empty_final_response":true`), "parameter 'triton_enable_empty_final_response' is reserved"),
		bad("sluice_ parameter", i8, withParams(`"sluice_x":1`), "parameter 'sluice_x' is reserved"),
		bad("headers parameter", i8, withParams(`"headers":"x"`), "parameter 'headers' is reserved"),
		bad("timeout as text", i8, withParams(`"timeout":"1"`), "parameter 'timeout' must be a whole number of microseconds"),
		bad("negative timeout", i8, withParams(`"timeout":-1`), "parameter 'timeout' must be"),
		bad("timeout with a fraction", i8, withParams(`"timeout":1.5`), "parameter 'timeout' must be"),
		bad("negative priority", i8, withParams(`"priority":-1`), "parameter 'priority' must be"),
		bad("priority as text", i8, withParams(`"priority":"high"`), "parameter 'priority' must be"),
		bad("sequence id as bool", i8, withParams(`"sequence_id":true`), "parameter 'sequence_id' must be"),
		bad("negative sequence id", i8, withParams(`"sequence_id":-1`), "parameter 'sequence_id' must be"),
		bad("sequence id as text where it is a number", numbered, withParams(`"sequence_id":"x"`), "parameter 'sequence_id' must be a whole number for model 'm'"),
		bad("long sequence id", i8, withParams(`"sequence_id":"`+strings.Repeat("x", 129)+`"`), "parameter 'sequence_id' must be"),
		bad("sequence start as number", i8, withParams(`"sequence_start":1`), "parameter 'sequence_start' must be"),
		bad("binary_data_output as text", i8, withParams(`"binary_data_output":"true"`), "parameter 'binary_data_output' must be"),

		bad("binary data without a header", i8, `{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}`, "input 'x' of model 'm': expecting 1 additional bytes of data, the request has 0 left"),
		binary("size of another shape", single(tensor.FP32, 4, 2), "FP32", "[4,2]", 40, strings.Repeat("x", 40), "input 'x' of model 'm': shape [4,2] of data type FP32: expected 32 bytes, got 40"),
		binary("one byte less", fp, "FP32", "[2]", 7, "xxxxxxx", "expected 8 bytes, got 7"),
		binary("size 0", fp, "FP32", "[2]", 0, "", "expected 8 bytes, got 0"),
		binary("negative size", fp, "FP32", "[2]", -8, "xxxxxxxx", "parameter 'binary_data_size' of input 'x' of model 'm' must be a whole number of bytes"),
		binary("size with a fraction", fp, "FP32", "[2]", "8.0", "xxxxxxxx", "parameter 'binary_data_size' of input 'x' of model 'm' must be"),
		binary("size as text", fp, "FP32", "[2]", `"8"`, "xxxxxxxx", "parameter 'binary_data_size' of input 'x' of model 'm' must be"),
		binary("size 2^63", fp, "FP32", "[2]", "9223372036854775808", "xxxxxxxx", "parameter 'binary_data_size' of input 'x' of model 'm' must be"),
		binary("too little data", fp, "FP32", "[2]", 8, "xxxxxxx", "expecting 8 additional bytes of data, the request has 7 left"),
		binary("too much data", fp, "FP32", "[2]", 8, "xxxxxxxxx", "unexpected additional input data: 1 bytes more than the inputs of model 'm' take"),
		binary("bytes overflow", single(tensor.FP64, -1), "FP64", "[2305843009213693952]", 0, "", "more elements than fit 63 bits"),
		binary("BYTES overflow", single(tensor.Bytes, -1), "BYTES", "[4611686018427387904]", 0, "", "more elements than fit 63 bits"),
		binary("strings too small", single(tensor.Bytes, -1), "BYTES", "[2]", 7, "xxxxxxx", "expected at least 8 bytes, got 7"),
		binary("string of a huge length", single(tensor.Bytes, -1), "BYTES", "[1]", 5, "\xff\xff\xff\xffx", "input 'x' of model 'm': element lengths do not agree with the data"),
		binary("string longer than the data", single(tensor.Bytes, -1), "BYTES", "[1]", 5, "\x02\x00\x00\x00x", "element lengths do not agree with the data"),
		binary("length cut short", single(tensor.Bytes, -1), "BYTES", "[1]", 7, "\x00\x00\x00\x00\x00\x00\x00", "element lengths do not agree with the data"),
		binary("fewer strings", single(tensor.Bytes, -1), "BYTES", "[2]", 8, "\x04\x00\x00\x00abcd", "shape [2] needs 2 elements, got 1"),
		binary("more strings", single(tensor.Bytes, -1), "BYTES", "[1]", 8, "\x00\x00\x00\x00\x00\x00\x00\x00", "shape [1] needs 1 elements, got 2"),
		binary("bool of 2", single(tensor.Bool, -1), "BOOL", "[3]", 3, "\x00\x01\x02", "input 'x' of model 'm': element 2 of data type BOOL is neither 0 nor 1"),
		{"raw, two inputs", addSub(), "x", 0, infer.Invalid, "a raw binary request needs a model with one input, model 'addsub' has 2"},
		{"raw, two free", single(tensor.FP32, -1, -1), "xxxx", 0, infer.Invalid, "an input with at most one free dimension, input 'x' of model 'm' has shape [-1,-1]"},
		{"raw, size of another shape", single(tensor.FP32, 2), "xxxx", 0, infer.Invalid, "a row of shape [2] takes 8 bytes, got 4"},
		{"raw, not a multiple", single(tensor.FP32, -1), "xxxxx", 0, infer.Invalid, "got 5"},
		{"raw, two strings", single(tensor.Bytes, 2), "xxxxx", 0, infer.Invalid, "an input of one string"},
		{"raw bool of 9", single(tensor.Bool, -1), "\x00\x09", 0, infer.Invalid, "element 1 of data type BOOL"},
	}
	list = append(list, refusal{"decoupled model", &infer.Model{Name: "d", Decoupled: true}, `{"inputs":[]}`, rest.NoHeader, infer.Unsupported, "model 'd' may send any number of answers"})
	for _, key := range []string{"shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"} {
		list = append(list,
			refusal{"input's " + key, i8, `{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"` + key + `":"r"}}]}`, rest.NoHeader, infer.Unsupported, "shared memory regions are not supported"},
			refusal{"output's " + key, i8, `{"outputs":[{"name":"y","parameters":{"` + key + `":1}}]}`, rest.NoHeader, infer.Unsupported, "shared memory regions are not supported"})
	}
	return list
}

func TestDecodeRefuses(t *testing.T) {
	for _, tc := range refusals() {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 13} {
				decodeAs(t, kserve.Source{Model: tc.model, HeaderLen: tc.head}, []byte(tc.body), piece, func(d *decoded) {
					switch {
					case d.err == nil:
						t.Fatal("accepted")
					case d.err.Code != tc.code || !strings.Contains(d.err.Text, tc.text):
						t.Errorf("%s: %s\nwant %s: %s", d.err.Code, d.err.Text, tc.code, tc.text)
					case d.err.Origin != infer.FromClient:
						t.Errorf("blamed %d", d.err.Origin)
					}
				})
			}
		})
	}
}

func TestJSONIsBoundedOnceDecoded(t *testing.T) {
	m := &infer.Model{Name: "m", Inputs: []infer.Spec{spec("x", tensor.FP64, -1), spec("y", tensor.Bytes, -1)}}
	body := []byte(`{"inputs":[{"name":"x","datatype":"FP64","shape":[4],"data":[1,2,3,4]},{"name":"y","datatype":"BYTES","shape":[2],"data":["abcd","efgh"]}]}`)
	for limit, ok := range map[int64]bool{0: true, 48: true, 47: false, 32: false, 31: false, 1: false} {
		decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader, MaxBytes: limit}, body, 0, func(d *decoded) {
			if (d.err == nil) != ok || !ok && d.err.Code != infer.TooLarge {
				t.Errorf("limit %d: %v", limit, d.err)
			}
		})
	}
}

func TestAnyRows(t *testing.T) {
	body := `{"inputs":[{"name":"A","shape":[9,2],"datatype":"FP32","data":[` + strings.Repeat("0,", 17) + `0]}]}`
	m := optional()
	m.AnyRows = true
	decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader}, []byte(body), 0, func(d *decoded) {
		if d.err != nil || d.req.Rows != 9 {
			t.Errorf("%d rows, %v", d.req.Rows, d.err)
		}
	})
	m.Inputs[1].Dims = []int64{1, 2} // none of rows
	body = body[:len(body)-2] + `,{"name":"B","shape":[9,2],"datatype":"FP32","data":[` + strings.Repeat("0,", 17) + `0]}]}`
	decodeAs(t, kserve.Source{Model: m, HeaderLen: rest.NoHeader}, []byte(body), 0, func(d *decoded) {
		if d.err == nil || !strings.Contains(d.err.Text, "unexpected shape for input 'B'") {
			t.Errorf("a first axis that is not free: %v", d.err)
		}
	})
}

func TestParseHeaderLength(t *testing.T) {
	for _, tc := range []struct {
		value string
		size  int
		want  int
		text  string
	}{
		{"0", 10, 0, ""},
		{"10", 10, 10, ""},
		{"7", 10, 7, ""},
		{"11", 10, 0, "larger than the request's 10 bytes"},
		{"-1", 10, 0, "negative"},
		{"9223372036854775808", 10, 0, "larger"},
		{"99999999999999999999999", 10, 0, "larger"},
		{"", 10, 0, "not a number"},
		{"x", 10, 0, "not a number"},
		{"1x", 10, 0, "not a number"},
		{" 1", 10, 0, "not a number"},
		{"1 ", 10, 0, "not a number"},
		{"+1", 10, 0, "not a number"},
		{"01", 10, 0, "not a number"},
		{"1.0", 10, 0, "not a number"},
		{"0x1", 10, 0, "not a number"},
		{"1,1", 10, 0, "not a number"},
	} {
		got, err := rest.ParseHeaderLength([]byte(tc.value), tc.size)
		if got != tc.want || (err == nil) != (tc.text == "") || err != nil && !strings.Contains(err.Text, tc.text) {
			t.Errorf("%q: %d, %v; want %d, %q", tc.value, got, err, tc.want, tc.text)
		}
	}
	if n, err := rest.ParseHeaderLength(nil, 5); n != rest.NoHeader || err != nil {
		t.Errorf("absent: %d, %v", n, err)
	}
	for _, n := range []int{-2, 100} {
		decodeAs(t, kserve.Source{Model: addSub(), HeaderLen: n}, []byte("{}"), 0, func(d *decoded) {
			if d.err == nil || !strings.Contains(d.err.Text, "not within the request") {
				t.Errorf("length %d of 2: %v", n, d.err)
			}
		})
	}
}
