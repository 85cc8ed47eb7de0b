package kserve_test

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMessageAccepts(t *testing.T) {
	type row struct {
		name  string
		model *infer.Model
		msg   *pb.ModelInferRequest
		want  string // hex of the first input
		shape string
	}
	c := func(set func(*pb.InferTensorContents)) *pb.InferTensorContents {
		c := &pb.InferTensorContents{}
		set(c)
		return c
	}
	for _, tc := range []row{
		{"scalar", single(tensor.FP32), one("\x00\x00\xc0\x3f", "FP32"), "0000c03f", "[]"},
		{"zero size", single(tensor.FP32, -1, 3), one("", "FP32", 0, 3), "", "[0,3]"},
		{"zero size, contents", single(tensor.FP32, -1, 3), typed(&pb.InferTensorContents{}, "FP32", 0, 3), "", "[0,3]"},
		{"zero rows", addSub(), request([]string{"", ""}, inputOf("A", "FP32", 0, 2), inputOf("B", "FP32", 0, 2)), "", "[0,2]"},
		{"raw FP16", single(tensor.FP16, 1), one("\x00\x3c", "FP16", 1), "003c", "[1]"},
		{"raw BF16", single(tensor.BF16, 1), one("\x80\x3f", "BF16", 1), "803f", "[1]"},
		{"raw strings", single(tensor.Bytes, -1), one("\x02\x00\x00\x00\xff\x00\x00\x00\x00\x00", "BYTES", 2), "02000000ff0000000000", "[2]"},
		{"raw bools", single(tensor.Bool, -1), one("\x00\x01", "BOOL", 2), "0001", "[2]"},
		{"raw, no strings", single(tensor.Bytes, -1), one("", "BYTES", 0), "", "[0]"},
		{"optional left out", optional(), request([]string{string(f32(1, 2))}, inputOf("A", "FP32", 1, 2)), "0000803f00000040", "[1,2]"},
		{"as many rows as allowed", optional(), request([]string{strings.Repeat("\x00", 64)}, inputOf("A", "FP32", 8, 2)), strings.Repeat("00", 64), "[8,2]"},
		{"no inputs wanted, none sent", &infer.Model{Name: "none"}, &pb.ModelInferRequest{}, "", ""},

		{"bools", single(tensor.Bool, -1), typed(c(func(c *pb.InferTensorContents) { c.BoolContents = []bool{true, false} }), "BOOL", 2), "0100", "[2]"},
		{"INT8", single(tensor.Int8, -1), typed(c(func(c *pb.InferTensorContents) { c.IntContents = []int32{-128, 127} }), "INT8", 2), "807f", "[2]"},
		{"INT16", single(tensor.Int16, -1), typed(c(func(c *pb.InferTensorContents) { c.IntContents = []int32{-32768, 32767} }), "INT16", 2), "0080ff7f", "[2]"},
		{"INT32", single(tensor.Int32, -1), typed(c(func(c *pb.InferTensorContents) { c.IntContents = []int32{math.MinInt32, 1} }), "INT32", 2), "0000008001000000", "[2]"},
		{"INT64", single(tensor.Int64, -1), typed(c(func(c *pb.InferTensorContents) { c.Int64Contents = []int64{math.MinInt64} }), "INT64", 1), "0000000000000080", "[1]"},
		{"UINT8", single(tensor.Uint8, -1), typed(c(func(c *pb.InferTensorContents) { c.UintContents = []uint32{0, 255} }), "UINT8", 2), "00ff", "[2]"},
		{"UINT16", single(tensor.Uint16, -1), typed(c(func(c *pb.InferTensorContents) { c.UintContents = []uint32{65535} }), "UINT16", 1), "ffff", "[1]"},
		{"UINT32", single(tensor.Uint32, -1), typed(c(func(c *pb.InferTensorContents) { c.UintContents = []uint32{math.MaxUint32} }), "UINT32", 1), "ffffffff", "[1]"},
		{"UINT64", single(tensor.Uint64, -1), typed(c(func(c *pb.InferTensorContents) { c.Uint64Contents = []uint64{math.MaxUint64} }), "UINT64", 1), "ffffffffffffffff", "[1]"},
		{"FP32", single(tensor.FP32, -1), typed(c(func(c *pb.InferTensorContents) { c.Fp32Contents = []float32{1, -2} }), "FP32", 2), "0000803f000000c0", "[2]"},
		{"FP64", single(tensor.FP64, -1), typed(c(func(c *pb.InferTensorContents) { c.Fp64Contents = []float64{1} }), "FP64", 1), "000000000000f03f", "[1]"},
		{"strings", single(tensor.Bytes, -1), typed(c(func(c *pb.InferTensorContents) { c.BytesContents = [][]byte{[]byte("a\xff"), nil} }), "BYTES", 2), "0200000061ff00000000", "[2]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			msg := marshalMessage(t, tc.msg)
			if !agree(t, kserve.Source{Model: tc.model}, msg, 1, 5) {
				t.Fatal("the reference refuses it")
			}
			decodeMessage(t, kserve.Source{Model: tc.model}, msg, 0, func(d *decoded) {
				if len(d.req.Inputs) == 0 {
					return
				}
				if got := fmt.Sprintf("%x", d.datas[0]); got != tc.want {
					t.Errorf("data %s, want %s", got, tc.want)
				}
				if got := tensor.ShapeString(d.req.Inputs[0].Shape); got != tc.shape {
					t.Errorf("shape %s, want %s", got, tc.shape)
				}
			})
		})
	}
}

func TestMessageParameters(t *testing.T) {
	p := one("\x07", "INT8", 1)
	p.Parameters = map[string]*pb.InferParameter{
		"timeout": uintParam(math.MaxUint64), "priority": uintParam(7), "sequence_id": uintParam(math.MaxUint64), "sequence_start": boolParam(true),
		"triton_enable_empty_final_response": boolParam(true), "s": stringParam("v"), "i": intParam(-5), "d": doubleParam(0.25), "u": uintParam(9),
	}
	m := single(tensor.Int8, 1)
	decodeMessage(t, kserve.Source{Model: m}, marshalMessage(t, p), 3, func(d *decoded) {
		if d.err != nil {
			t.Fatal(d.err)
		}
		if want := math.MaxInt64 / 1000 * time.Microsecond; d.head.Timeout != want || d.head.Priority != 7 || !d.head.EmptyFinal {
			t.Errorf("head is %+v", d.head)
		}
		got := map[string]string{}
		for _, p := range d.req.Params {
			got[string(p.Key)] = fmt.Sprintf("%d %q %d %v", p.Kind, p.String, p.Int, p.Float)
		}
		want := map[string]string{
			"sequence_id": `1 "" -1 0`, "sequence_start": `2 "" 1 0`, "s": `0 "v" 0 0`, "i": `1 "" -5 0`, "d": `3 "" 0 0.25`, "u": `1 "" 9 0`,
		}
		if !maps.Equal(got, want) {
			t.Errorf("parameters are %v, want %v", got, want)
		}
	})
}

func find(params []infer.Param, key string) int {
	for i := range params {
		if string(params[i].Key) == key {
			return i
		}
	}
	return -1
}

// TestMessageLastWins sends scalars, parameters and a shape in several pieces, as protobuf lets writers do.
func TestMessageLastWins(t *testing.T) {
	input := marshalMessage(t, inputOf("nobody", "FP64", 2))
	input = append(input, marshalMessage(t, inputOf("x", "INT8", 1))...)
	contents := func(v int32) []byte {
		return marshalMessage(t, &inputMsg{Contents: &pb.InferTensorContents{IntContents: []int32{v}}})
	}
	input = append(append(input, contents(4)...), contents(5)...)
	msg := marshalMessage(t, &pb.ModelInferRequest{Id: "a", Parameters: map[string]*pb.InferParameter{"p": intParam(1), "triton_x": intParam(1)}})
	msg = protowire.AppendBytes(protowire.AppendTag(msg, 5, protowire.BytesType), input)
	msg = append(msg, marshalMessage(t, &pb.ModelInferRequest{Id: "b", Parameters: map[string]*pb.InferParameter{"p": stringParam("v")}})...)
	m := single(tensor.Int8, 2, 1)
	agree(t, kserve.Source{Model: m}, msg, 1, 2, 3)
	decodeMessage(t, kserve.Source{Model: m}, msg, 0, func(d *decoded) {
		if d.err == nil || !strings.Contains(d.err.Text, "'triton_x' is reserved") {
			t.Errorf("a reserved parameter: %v", d.err)
		}
	})
	msg = []byte(strings.Replace(string(msg), "triton_x", "elsewher", 1))
	if !agree(t, kserve.Source{Model: m}, msg, 1, 2, 3) {
		t.Fatal("the reference refuses it")
	}
	decodeMessage(t, kserve.Source{Model: m}, msg, 0, func(d *decoded) {
		i := find(d.req.Params, "p")
		if string(d.req.ID) != "b" || fmt.Sprintf("%x", d.datas[0]) != "0405" || len(d.req.Params) != 2 || i < 0 || string(d.req.Params[i].String) != "v" {
			t.Errorf("id %q, data %x, parameters %v", d.req.ID, d.datas, d.req.Params)
		}
	})
}

// TestBothEncodingsRefuseAlike sends the same faults over REST and gRPC.
func TestBothEncodingsRefuseAlike(t *testing.T) {
	text := map[string]string{}
	for _, tc := range refusals() {
		decodeAs(t, kserve.Source{Model: tc.model, HeaderLen: tc.head}, []byte(tc.body), 0, func(d *decoded) { text[tc.name] = d.err.Text })
	}
	both := 0
	for _, tc := range messageRefusals() {
		rest, ok := text[tc.name]
		if !ok {
			continue
		}
		decodeMessage(t, kserve.Source{Model: tc.model}, tc.msg, 0, func(d *decoded) {
			both++
			if d.err.Text != rest {
				t.Errorf("%s:\ngRPC %s\nREST %s", tc.name, d.err.Text, rest)
			}
		})
	}
	if both < 40 {
		t.Errorf("only %d faults stand in both tables", both)
	}
}

// TestDecoupledOnAStream takes what ModelInfer refuses.
func TestDecoupledOnAStream(t *testing.T) {
	m := single(tensor.Int8, 1)
	m.Decoupled = true
	msg := marshalMessage(t, one("\x07", "INT8", 1))
	for _, stream := range []bool{true, false} {
		decodeMessage(t, kserve.Source{Model: m, Stream: stream}, msg, 0, func(d *decoded) {
			if (d.err == nil) != stream {
				t.Errorf("stream %v: %v", stream, d.err)
			}
		})
	}
}

// TestRawIsNotCopied looks whether raw tensors lie where the message does.
func TestRawIsNotCopied(t *testing.T) {
	mem, m := newMemory(), single(tensor.Int8, -1)
	body := bodyOf(mem.Slabs, marshalMessage(t, one(strings.Repeat("\x01", 1000), "INT8", 1000)), 0)
	req := mem.NewRequest()
	var head kserve.Head
	if err := kserve.NewMessageDecoder(mem.Slabs).Decode(kserve.Source{Model: m, Body: body}, req, &head); err != nil {
		t.Fatal(err)
	}
	if v := req.Inputs[0].Data.At(0); v.S != body.At(0).S || len(v.B) != 1000 {
		t.Error("the data lies elsewhere")
	}
	req.Release()
	body.Release()
}

// TestOnlyTheBodyIsPassedOn marks a request as one that can be passed on only if it holds its message.
func TestOnlyTheBodyIsPassedOn(t *testing.T) {
	mem := newMemory()
	m := single(tensor.Int8, 1)
	msg := one("\x07", "INT8", 1)
	msg.ModelVersion = "3"
	body := bodyOf(mem.Slabs, marshalMessage(t, msg), 0)
	for _, own := range []bool{false, true} {
		req := mem.NewRequest()
		from := body
		if own {
			req.Body.AppendList(body)
			from = &req.Body
		}
		var head kserve.Head
		err := kserve.NewMessageDecoder(mem.Slabs).Decode(kserve.Source{Model: m, Body: from}, req, &head)
		if err != nil || (req.Encoding == infer.KServeGRPC) != own || own && string(req.BodyName)+string(req.BodyVersion) != "m3" {
			t.Errorf("own %v: %v, encoding %d, %q %q", own, err, req.Encoding, req.BodyName, req.BodyVersion)
		}
		req.Release()
	}
	body.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}
