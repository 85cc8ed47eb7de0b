package kserve_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

func protoMarshal(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

type (
	inputMsg  = pb.ModelInferRequest_InferInputTensor
	outputMsg = pb.ModelInferRequest_InferRequestedOutputTensor
)

// The building bricks of the tables.
func inputOf(name, dtype string, shape ...int64) *inputMsg {
	return &inputMsg{Name: name, Datatype: dtype, Shape: shape}
}

func withContents(in *inputMsg, c *pb.InferTensorContents) *inputMsg {
	in.Contents = c
	return in
}

func request(raws []string, ins ...*inputMsg) *pb.ModelInferRequest {
	p := &pb.ModelInferRequest{ModelName: "m", Inputs: ins}
	for _, r := range raws {
		p.RawInputContents = append(p.RawInputContents, []byte(r))
	}
	return p
}

func one(raw, dtype string, shape ...int64) *pb.ModelInferRequest {
	return request([]string{raw}, inputOf("x", dtype, shape...))
}

func typed(c *pb.InferTensorContents, dtype string, shape ...int64) *pb.ModelInferRequest {
	return request(nil, withContents(inputOf("x", dtype, shape...), c))
}

func boolParam(v bool) *pb.InferParameter {
	return &pb.InferParameter{ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: v}}
}

func intParam(v int64) *pb.InferParameter {
	return &pb.InferParameter{ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: v}}
}

func uintParam(v uint64) *pb.InferParameter {
	return &pb.InferParameter{ParameterChoice: &pb.InferParameter_Uint64Param{Uint64Param: v}}
}

func stringParam(v string) *pb.InferParameter {
	return &pb.InferParameter{ParameterChoice: &pb.InferParameter_StringParam{StringParam: v}}
}

func doubleParam(v float64) *pb.InferParameter {
	return &pb.InferParameter{ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: v}}
}

func withParam(key string, v *pb.InferParameter) *pb.ModelInferRequest {
	p := one("\x07", "INT8", 1)
	p.Parameters = map[string]*pb.InferParameter{key: v}
	return p
}

func askFor(m *pb.ModelInferRequest, outs ...*outputMsg) *pb.ModelInferRequest {
	m.Outputs = outs
	return m
}

func outputOf(name, key string, v *pb.InferParameter) *outputMsg {
	return &outputMsg{Name: name, Parameters: map[string]*pb.InferParameter{key: v}}
}

type messageRefusal struct {
	name  string
	model *infer.Model
	msg   []byte
	code  infer.Code
	text  string
}

func messageRefusals() []messageRefusal {
	i8, fp := single(tensor.Int8, 1), single(tensor.FP32, -1)
	numbered := single(tensor.Int8, 1)
	numbered.NumberedSequences = true
	bad := func(name string, m *infer.Model, p *pb.ModelInferRequest, text string) messageRefusal {
		b, err := protoMarshal(p)
		if err != nil {
			panic(err)
		}
		return messageRefusal{name, m, b, infer.Invalid, text}
	}
	broken := func(name, msg, text string) messageRefusal {
		return messageRefusal{name, i8, []byte(msg), infer.Invalid, "the request cannot be parsed: " + text}
	}
	two := func(second *inputMsg) *pb.ModelInferRequest {
		return request([]string{string(f32(1, 2)), string(f32(1, 2))}, inputOf("A", "FP32", 1, 2), second)
	}
	list := []messageRefusal{
		broken("cut tag", "\x80", "ModelInferRequest: the message is cut short at byte 1"),
		broken("cut length", "\x0a", "model_name: the message is cut short at byte 1"),
		broken("name longer than the message", "\x0a\x05abc", "model_name: the message is cut short at byte 2"),
		broken("4 GiB of data", "\x3a\xff\xff\xff\xff\x0fx", "raw_input_contents: the message is cut short at byte 6"),
		broken("2^64-1 bytes", "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "raw_input_contents: the message is cut short"),
		broken("varint of eleven bytes", "\x48"+strings.Repeat("\x80", 10)+"\x01", "ModelInferRequest: a varint is longer than 64 bits"),
		broken("varint above 64 bits", "\x48"+strings.Repeat("\xff", 9)+"\x02", "ModelInferRequest: a varint is longer than 64 bits"),
		broken("field 0", "\x02\x00", "ModelInferRequest: invalid field number at byte 1"),
		broken("field 2^29", "\x82\x80\x80\x80\x10\x00", "ModelInferRequest: invalid field number"),
		broken("wire type 6", "\x4e", "ModelInferRequest: invalid wire type"),
		broken("end of no group", "\x4c", "ModelInferRequest: a group ends that has not begun"),
		broken("end of another group", "\x4b\x54", "ModelInferRequest: a group ends that has not begun"),
		broken("group without an end", "\x4b\x08\x01", "ModelInferRequest: the message is cut short"),
		broken("10,000 groups", strings.Repeat("\x4b", 10_000)+strings.Repeat("\x4c", 10_000), "ModelInferRequest: groups nest deeper than 100 levels at byte 101"),
		broken("name is not UTF-8", "\x0a\x01\xff", "model_name: invalid UTF-8 in a string"),
		broken("input's name is not UTF-8", "\x2a\x03\x0a\x01\xff", "inputs.name: invalid UTF-8 in a string"),
		broken("input's name is longer than the input", "\x2a\x03\x0a\x09x\x12\x00", "inputs.name: the message is cut short"),
		broken("cut shape", "\x2a\x05\x0a\x01x\x1a\x01", "inputs.shape: the message is cut short"),
		broken("cut dimension", "\x2a\x06\x0a\x01x\x1a\x01\x80", "inputs.shape: the message is cut short"),
		broken("cut contents", "\x2a\x07\x0a\x01x\x2a\x02\x32\x03", "inputs.contents: the message is cut short"),
		broken("floats of three bytes", "\x2a\x0a\x0a\x01x\x2a\x05\x32\x03abc", "inputs.contents: the message is cut short"),
		broken("parameter's text is not UTF-8", "\x22\x08\x0a\x01k\x12\x03\x1a\x01\xff", "parameters: invalid UTF-8 in a string"),
		broken("cut double", "\x22\x08\x0a\x01k\x12\x03\x21ab", "parameters: the message is cut short"),
		broken("output's name is not UTF-8", "\x32\x03\x0a\x01\xff", "outputs.name: invalid UTF-8 in a string"),

		bad("no name", i8, request(nil, &inputMsg{Datatype: "INT8"}), `input number 0 of the request for model 'm' has no "name"`),
		bad("no datatype", i8, request(nil, &inputMsg{Name: "x"}), `input 'x' of the request for model 'm' has no "datatype"`),
		bad("unknown datatype", i8, one("\x01", "FLOAT", 1), "input 'x' of model 'm' has the unknown data type 'FLOAT'"),
		bad("another datatype", i8, one("\x01\x00", "INT16", 1), "inference input 'x' data-type is 'INT16', but model 'm' expects 'INT8'"),
		bad("negative dimension", fp, one("xxxx", "FP32", -1), "the shape of input 'x' of model 'm' has a negative dimension"),
		bad("33 dimensions", fp, one("xxxx", "FP32", make([]int64, 33)...), "the shape of input 'x' of model 'm' has more than 32 dimensions"),
		bad("other rank", fp, one("xxxx", "FP32", 1, 1), "unexpected shape for input 'x' for model 'm'. Expected [-1], got [1,1]"),
		bad("shape left out", fp, one("xxxx", "FP32"), "Expected [-1], got []"),
		bad("other fixed dimension", i8, one("xx", "INT8", 2), "Expected [1], got [2]"),
		bad("elements overflow 1", single(tensor.FP32, -1, -1), one("xxxx", "FP32", 16, 1<<60+2), "shape has more elements than fit 63 bits"),
		bad("elements overflow 2", single(tensor.FP32, -1, -1), one("xxxx", "FP32", 5, 0x6666666666666668), "more elements than fit 63 bits"),
		bad("elements overflow 3", single(tensor.FP32, -1, -1), one("xxxx", "FP32", 1<<32, 1<<32+1), "more elements than fit 63 bits"),
		bad("bytes overflow", single(tensor.FP64, -1), one("", "FP64", 1<<61), "more elements than fit 63 bits"),
		bad("BYTES overflow", single(tensor.Bytes, -1), one("", "BYTES", 1<<62), "more elements than fit 63 bits"),
		bad("bytes overflow, contents", single(tensor.FP64, -1), typed(&pb.InferTensorContents{}, "FP64", 1<<61), "needs 2305843009213693952 elements, got 0"),

		bad("no inputs", addSub(), request(nil), "expected 2 inputs but got 0 inputs for model 'addsub'. Got input(s) [], but missing required input(s) ['A','B']. Please provide all required input(s)"),
		bad("missing input", addSub(), request([]string{string(f32(1, 2))}, inputOf("B", "FP32", 1, 2)), "expected 2 inputs but got 1 inputs for model 'addsub'. Got input(s) ['B'], but missing required input(s) ['A']"),
		bad("unknown input", addSub(), two(inputOf("C", "FP32", 1, 2)), "unexpected inference input 'C' for model 'addsub', its inputs are ['A', 'B']"),
		bad("duplicate input", addSub(), two(inputOf("A", "FP32", 1, 2)), "input 'A' already exists in the request for model 'addsub'"),
		bad("rows that differ", addSub(), two(inputOf("B", "FP32", 2, 2)), "input 'B' batch size 2 does not match that of input 'A', 1, for model 'addsub'"),
		bad("too many rows", optional(), request([]string{strings.Repeat("x", 72)}, inputOf("A", "FP32", 9, 2)), "inference request batch-size must be <= 8 for model 'addsub', input 'A' has 9"),
		bad("long name", i8, request([]string{"\x01"}, inputOf(strings.Repeat("n", 1000), "INT8", 1)), "unexpected inference input '"+strings.Repeat("n", 128)+"'... for model 'm'"),

		bad("one byte less", fp, one("xxxxxxx", "FP32", 2), "input 'x' of model 'm': shape [2] of data type FP32: expected 8 bytes, got 7"),
		bad("one byte more", fp, one("xxxxxxxxx", "FP32", 2), "expected 8 bytes, got 9"),
		bad("no bytes", fp, one("", "FP32", 2), "expected 8 bytes, got 0"),
		bad("bytes of an empty tensor", fp, one("xxxx", "FP32", 0), "expected 0 bytes, got 4"),
		bad("neither raw nor contents", i8, request(nil, inputOf("x", "INT8", 1)), "unable to find data for input tensor 'x' for model 'm' in the request"),
		bad("no data of an empty tensor", fp, request(nil, inputOf("x", "FP32", 0)), "unable to find data for input tensor 'x'"),
		bad("fewer raw than inputs", addSub(), request([]string{string(f32(1, 2))}, inputOf("A", "FP32", 1, 2), inputOf("B", "FP32", 1, 2)), "unable to find data for input tensor 'B' for model 'addsub' in the request"),
		bad("more raw than the model's inputs", i8, request([]string{"\x01", "\x01"}, inputOf("x", "INT8", 1)), "unexpected additional input data: more raw_input_contents than the 1 inputs of model 'm'"),
		bad("more raw than inputs", optional(), request([]string{string(f32(1, 2)), ""}, inputOf("A", "FP32", 1, 2)), "unexpected additional input data: 1 raw_input_contents more than the request for model 'addsub' has inputs"),
		bad("both raw and contents", i8, request([]string{"\x01"}, withContents(inputOf("x", "INT8", 1), &pb.InferTensorContents{IntContents: []int32{1}})), "contents field must not be specified when using raw_input_contents for input 'x' of model 'm'"),
		bad("raw and empty contents", fp, request([]string{""}, withContents(inputOf("x", "FP32", 0), &pb.InferTensorContents{})), "contents field must not be specified"),
		bad("some raw, some contents", addSub(), request([]string{string(f32(1, 2))}, inputOf("A", "FP32", 1, 2), withContents(inputOf("B", "FP32", 1, 2), &pb.InferTensorContents{Fp32Contents: []float32{1, 2}})), "contents field must not be specified when using raw_input_contents for input 'B'"),

		bad("another field", i8, typed(&pb.InferTensorContents{Fp32Contents: []float32{1}}, "INT8", 1), "unexpected explicit tensor data for input tensor 'x' for model 'm': fp32_contents does not fit the expected datatype INT8"),
		bad("two fields", i8, typed(&pb.InferTensorContents{Fp32Contents: []float32{1}, IntContents: []int32{1}}, "INT8", 1), "unexpected explicit tensor data for input tensor 'x' for model 'm': binary data was already supplied by another field of contents"),
		bad("FP16 contents", single(tensor.FP16, 1), typed(&pb.InferTensorContents{Fp32Contents: []float32{1}}, "FP16", 1), "datatype FP16 must be sent as raw_input_contents"),
		bad("BF16 contents", single(tensor.BF16, 1), typed(&pb.InferTensorContents{IntContents: []int32{1}}, "BF16", 1), "datatype BF16 must be sent as raw_input_contents"),
		bad("128 as INT8", single(tensor.Int8, 2), typed(&pb.InferTensorContents{IntContents: []int32{127, 128}}, "INT8", 2), "input 'x' of model 'm': element 1 is out of the range of data type INT8"),
		bad("-129 as INT8", i8, typed(&pb.InferTensorContents{IntContents: []int32{-129}}, "INT8", 1), "element 0 is out of the range of data type INT8"),
		bad("32768 as INT16", single(tensor.Int16, 1), typed(&pb.InferTensorContents{IntContents: []int32{32768}}, "INT16", 1), "element 0 is out of the range of data type INT16"),
		bad("256 as UINT8", single(tensor.Uint8, 1), typed(&pb.InferTensorContents{UintContents: []uint32{256}}, "UINT8", 1), "element 0 is out of the range of data type UINT8"),
		bad("65536 as UINT16", single(tensor.Uint16, 1), typed(&pb.InferTensorContents{UintContents: []uint32{65536}}, "UINT16", 1), "element 0 is out of the range of data type UINT16"),
		bad("one element of three", single(tensor.Int8, 3), typed(&pb.InferTensorContents{IntContents: []int32{1}}, "INT8", 3), "input 'x' of model 'm': shape [3] needs 3 elements, got 1"),
		bad("two elements of one", i8, typed(&pb.InferTensorContents{IntContents: []int32{1, 2}}, "INT8", 1), "shape [1] needs 1 elements, got 2"),
		bad("a trillion elements", fp, typed(&pb.InferTensorContents{Fp32Contents: []float32{1}}, "FP32", 1_000_000_000_000), "shape [1000000000000] needs 1000000000000 elements, got 1"),
		bad("few strings", single(tensor.Bytes, 2), typed(&pb.InferTensorContents{BytesContents: [][]byte{nil}}, "BYTES", 2), "shape [2] needs 2 elements, got 1"),

		bad("string of a huge length", single(tensor.Bytes, -1), one("\xff\xff\xff\xffx", "BYTES", 1), "input 'x' of model 'm': element lengths do not agree with the data"),
		bad("trailing bytes", single(tensor.Bytes, -1), one("\x00\x00\x00\x00\x00", "BYTES", 1), "element lengths do not agree with the data"),
		bad("fewer strings", single(tensor.Bytes, -1), one("\x04\x00\x00\x00abcd", "BYTES", 2), "shape [2] needs 2 elements, got 1"),
		bad("more strings", single(tensor.Bytes, -1), one("\x00\x00\x00\x00\x00\x00\x00\x00", "BYTES", 1), "shape [1] needs 1 elements, got 2"),
		bad("bool of 2", single(tensor.Bool, -1), one("\x00\x01\x02", "BOOL", 3), "input 'x' of model 'm': element 2 of data type BOOL is neither 0 nor 1"),

		bad("unknown output", addSub(), askFor(two(inputOf("B", "FP32", 1, 2)), &outputMsg{Name: "MUL"}), "unexpected inference output 'MUL' for model 'addsub', its outputs are ['SUM', 'DIFF']"),
		bad("duplicate output", addSub(), askFor(two(inputOf("B", "FP32", 1, 2)), &outputMsg{Name: "SUM"}, &outputMsg{Name: "SUM"}), "output 'SUM' already exists in the request for model 'addsub'"),
		bad("output without a name", addSub(), askFor(two(inputOf("B", "FP32", 1, 2)), &outputMsg{}), `output 0 of the request for model 'addsub' has no "name"`),
		bad("classification -1", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", intParam(-1))), "parameter 'classification' must be"),
		bad("classification 0", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", intParam(0))), "parameter 'classification' must be a whole number of classes, above 0"),
		bad("classification 2^31", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", intParam(1<<31))), "parameter 'classification' must be"),
		bad("classification 2^64-1", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", uintParam(1<<64-1))), "parameter 'classification' must be"),
		bad("classification as text", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", stringParam("3"))), "parameter 'classification' must be"),
		bad("classification of nothing", i8, askFor(one("\x01", "INT8", 1), outputOf("y", "classification", &pb.InferParameter{})), "parameter 'classification' must be"),
		bad("classification of strings", single(tensor.Bytes, 1), askFor(one("\x00\x00\x00\x00", "BYTES", 1), outputOf("y", "classification", intParam(1))), "output 'y' of model 'm' cannot be classified: its data type is BYTES"),

		bad("long id", i8, &pb.ModelInferRequest{Id: strings.Repeat("x", 257)}, "the request's id has 257 bytes, the limit is 256"),
		bad("id with a line break", i8, &pb.ModelInferRequest{Id: "a\r\n"}, "the request's id has a character that cannot be printed, at byte 1"),
		bad("parameter without a value", i8, withParam("p", &pb.InferParameter{}), "parameter 'p' is not a string, a number or a bool"),
		bad("sequence id without a value", i8, withParam("sequence_id", &pb.InferParameter{}), "parameter 'sequence_id' is not a string, a number or a bool"),
		bad("unsigned parameter", i8, withParam("p", uintParam(1<<63)), "parameter 'p' is out of range"),
		bad("another triton_ parameter", i8, withParam("triton_final_response", boolParam(true)), "parameter 'triton_final_response' is reserved"),
		bad("sluice_ parameter", i8, withParam("sluice_x", intParam(1)), "parameter 'sluice_x' is reserved"),
		bad("headers parameter", i8, withParam("headers", stringParam("x")), "parameter 'headers' is reserved"),
		bad("empty final response as number", i8, withParam("triton_enable_empty_final_response", intParam(1)), "parameter 'triton_enable_empty_final_response' must be true or false"),
		bad("timeout as text", i8, withParam("timeout", stringParam("1")), "parameter 'timeout' must be a whole number of microseconds"),
		bad("negative timeout", i8, withParam("timeout", intParam(-1)), "parameter 'timeout' must be"),
		bad("timeout as double", i8, withParam("timeout", doubleParam(1)), "parameter 'timeout' must be"),
		bad("negative priority", i8, withParam("priority", intParam(-1)), "parameter 'priority' must be"),
		bad("priority as text", i8, withParam("priority", stringParam("high")), "parameter 'priority' must be"),
		bad("sequence id as bool", i8, withParam("sequence_id", boolParam(true)), "parameter 'sequence_id' must be"),
		bad("sequence id as double", i8, withParam("sequence_id", doubleParam(1)), "parameter 'sequence_id' must be"),
		bad("negative sequence id", i8, withParam("sequence_id", intParam(-1)), "parameter 'sequence_id' must be"),
		bad("long sequence id", i8, withParam("sequence_id", stringParam(strings.Repeat("x", 129))), "parameter 'sequence_id' must be"),
		bad("sequence id as text where it is a number", numbered, withParam("sequence_id", stringParam("x")), "parameter 'sequence_id' must be a whole number for model 'm'"),
		bad("sequence start as number", i8, withParam("sequence_start", intParam(1)), "parameter 'sequence_start' must be"),
		bad("sequence end as text", i8, withParam("sequence_end", stringParam("true")), "parameter 'sequence_end' must be"),
	}
	many := withParam("p", intParam(1))
	for i := range 65 {
		many.Parameters[fmt.Sprint(i)] = intParam(1)
	}
	list = append(list, bad("66 parameters", i8, many, "parameters: more than 64 members"))
	decoupled := &infer.Model{Name: "d", Decoupled: true}
	list = append(list, messageRefusal{"decoupled model, unary", decoupled, nil, infer.Unsupported, "model 'd' may send any number of answers to a request, which ModelInfer does not support"})
	for _, key := range []string{"shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"} {
		in := inputOf("x", "INT8", 1)
		in.Parameters = map[string]*pb.InferParameter{key: stringParam("r")}
		a := bad("input's "+key, i8, request(nil, in), "shared memory regions are not supported")
		b := bad("output's "+key, i8, askFor(one("\x01", "INT8", 1), outputOf("y", key, intParam(1))), "shared memory regions are not supported")
		a.code, b.code = infer.Unsupported, infer.Unsupported
		list = append(list, a, b)
	}
	return list
}

func TestMessageRefuses(t *testing.T) {
	for _, tc := range messageRefusals() {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 13} {
				decodeMessage(t, kserve.Source{Model: tc.model}, tc.msg, piece, func(d *decoded) {
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

func TestContentsAreBounded(t *testing.T) {
	m := &infer.Model{Name: "m", Inputs: []infer.Spec{spec("x", tensor.Int64, -1), spec("y", tensor.Bytes, -1)}}
	msg := marshalMessage(t, request(nil,
		withContents(inputOf("x", "INT64", 4), &pb.InferTensorContents{Int64Contents: []int64{1, 2, 3, 4}}),
		withContents(inputOf("y", "BYTES", 2), &pb.InferTensorContents{BytesContents: [][]byte{[]byte("abcd"), []byte("efgh")}})))
	for limit, ok := range map[int64]bool{0: true, 48: true, 47: false, 32: false, 31: false, 1: false} {
		decodeMessage(t, kserve.Source{Model: m, MaxBytes: limit}, msg, 0, func(d *decoded) {
			if (d.err == nil) != ok || !ok && d.err.Code != infer.TooLarge {
				t.Errorf("limit %d: %v", limit, d.err)
			}
		})
	}
}

func TestPeekModel(t *testing.T) {
	last := append(marshalMessage(t, &pb.ModelInferRequest{ModelName: "a", ModelVersion: "1", Id: "i", RawInputContents: [][]byte{[]byte("x")}}),
		marshalMessage(t, &pb.ModelInferRequest{ModelName: "longer name", ModelVersion: "2"})...)
	group := protowire.AppendTag(protowire.AppendTag(nil, 9, protowire.StartGroupType), 9, protowire.EndGroupType)
	for _, tc := range []struct {
		name string
		msg  []byte
		want string
		raw  bool
	}{
		{"nothing", nil, `"" "" ""`, false},
		{"last wins", last, `"longer name" "2" "i"`, true},
		{"unknown fields", append(group, "\x0a\x01m"...), `"m" "" ""`, false},
	} {
		for _, piece := range []int{0, 1, 3} {
			mem := newMemory()
			body := bodyOf(mem.Slabs, tc.msg, piece)
			p, err := kserve.NewMessageDecoder(mem.Slabs).PeekModel(body)
			if got := fmt.Sprintf("%q %q %q", p.Name, p.Version, p.ID); err != nil || got != tc.want || p.Raw != tc.raw {
				t.Errorf("%s in pieces of %d: %s, raw %v, %v", tc.name, piece, got, p.Raw, err)
			}
			body.Release()
		}
	}
	for _, msg := range []string{"\x0a\x02a", "\x0a\x01\xff", "\x00"} {
		body := bodyOf(newMemory().Slabs, []byte(msg), 0)
		if p, err := kserve.NewMessageDecoder(nil).PeekModel(body); err == nil || err.Code != infer.Invalid {
			t.Errorf("%q: %+v, %v", msg, p, err)
		}
	}
}
