package kserve_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// agree holds the decoder against the reference, with the message in one piece and in several. It returns
// whether the message stands.
func agree(t testing.TB, src kserve.Source, msg []byte, pieces ...int) bool {
	t.Helper()
	want, why := reference(src, msg)
	for _, piece := range append(pieces, 0) {
		decodeMessage(t, src, msg, piece, func(d *decoded) {
			switch {
			case d.err != nil && strings.Contains(d.err.Text, "groups nest deeper"):
			case (d.err == nil) != (why == ""):
				t.Fatalf("%x in pieces of %d: %v, want %q", msg, piece, d.err, why)
			case why == "":
				if diff := want.compare(d); diff != "" {
					t.Fatalf("%x in pieces of %d: %s", msg, piece, diff)
				}
			}
		})
	}
	return why == ""
}

func fuzzModels() []*infer.Model {
	decoupled := single(tensor.Bytes, -1)
	decoupled.Decoupled = true
	return []*infer.Model{everyType(), addSub(), optional(), decoupled}
}

// FuzzMessage decodes any bytes as generated code does, and the reference after it.
func FuzzMessage(f *testing.F) {
	models := fuzzModels()
	g := generator{rng: rand.New(rand.NewPCG(1, 2))}
	for i := range 200 {
		f.Add(byte(i), g.message(models[i%len(models)]))
	}
	for _, tc := range messageRefusals() {
		f.Add(byte(0), tc.msg)
	}
	f.Fuzz(func(t *testing.T, which byte, msg []byte) {
		src := kserve.Source{Model: models[int(which)%len(models)], Stream: which >= 128, MaxBytes: 1 << 12}
		agree(t, src, msg, 1, 3+int(which%32))
	})
}

// TestMessagesAgree holds decoder and reference against each other on messages that are nearly right.
func TestMessagesAgree(t *testing.T) {
	models := fuzzModels()
	g := generator{rng: rand.New(rand.NewPCG(3, 4))}
	stood := 0
	const rounds = 20_000
	for i := range rounds {
		msg := g.message(models[i%len(models)])
		src := kserve.Source{Model: models[i%len(models)], Stream: i%7 != 0, MaxBytes: 1 << 12}
		if agree(t, src, msg, 1+g.rng.IntN(40)) {
			stood++
		}
	}
	if stood < rounds/10 || stood > rounds*9/10 {
		t.Errorf("%d of %d messages stood: the test sees one side only", stood, rounds)
	}
}

// A generator makes messages that are nearly right.
type generator struct{ rng *rand.Rand }

func (g *generator) one(n int) bool { return g.rng.IntN(n) == 0 }

func pick[T any](g *generator, of ...T) T { return of[g.rng.IntN(len(of))] }

// message makes an encoded request for m.
func (g *generator) message(m *infer.Model) []byte {
	p := &pb.ModelInferRequest{ModelName: m.Name, ModelVersion: pick(g, "", "1"), Id: pick(g, "", "7", "é", "a\nb")}
	if g.one(6) {
		p.Id = "x"
	}
	raw := !g.one(3)
	rows := int64(g.rng.IntN(3))
	for _, spec := range m.Inputs {
		if spec.Optional && g.one(2) || !spec.Optional && g.one(20) {
			continue
		}
		in, data := g.input(m, &spec, rows, raw)
		p.Inputs = append(p.Inputs, in)
		if in.Contents == nil && !g.one(50) || g.one(50) {
			p.RawInputContents = append(p.RawInputContents, data)
		}
	}
	if g.one(3) {
		p.Parameters = g.parameters("timeout", "priority", "sequence_id", "sequence_start", "triton_enable_empty_final_response", "p", "q", "headers", "triton_x", "binary_data_output")
	}
	for _, spec := range m.Outputs {
		if g.one(4) {
			o := &pb.ModelInferRequest_InferRequestedOutputTensor{Name: spec.Name}
			if g.one(3) {
				o.Parameters = g.parameters("classification", "binary_data", "shared_memory_region", "x")
			}
			p.Outputs = append(p.Outputs, o)
		}
	}
	b, err := protoMarshal(p)
	if err != nil {
		panic(err)
	}
	return g.disturb(b)
}

func (g *generator) parameters(keys ...string) map[string]*pb.InferParameter {
	params := map[string]*pb.InferParameter{}
	for range 1 + g.rng.IntN(2) {
		params[pick(g, keys...)] = pick(g,
			&pb.InferParameter{ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: g.one(2)}},
			&pb.InferParameter{ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: pick(g, int64(3), -1, math.MaxInt64)}},
			&pb.InferParameter{ParameterChoice: &pb.InferParameter_Uint64Param{Uint64Param: pick(g, uint64(3), math.MaxUint64)}},
			&pb.InferParameter{ParameterChoice: &pb.InferParameter_StringParam{StringParam: pick(g, "", "seq", strings.Repeat("x", 200))}},
			&pb.InferParameter{ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: pick(g, 0.5, math.NaN(), math.Inf(1))}},
			&pb.InferParameter{})
	}
	return params
}

func (g *generator) input(m *infer.Model, spec *infer.Spec, rows int64, raw bool) (*pb.ModelInferRequest_InferInputTensor, []byte) {
	in := &pb.ModelInferRequest_InferInputTensor{Name: spec.Name, Datatype: spec.DType.String()}
	n := 1
	for _, d := range spec.Dims {
		if d < 0 {
			d = rows
		}
		in.Shape = append(in.Shape, d)
		n *= int(d)
	}
	switch g.rng.IntN(60) {
	case 0:
		in.Name = pick(g, "", "nobody", m.Inputs[0].Name)
	case 1:
		in.Datatype = pick(g, "", "FP32", "fp32", "X")
	case 2:
		in.Shape = append(in.Shape, 1)
	case 3:
		in.Shape[0] += pick(g, int64(1), -3)
	case 4:
		in.Parameters = g.parameters("shared_memory_region", "x", "binary_data_size")
	case 5:
		n++
	}
	var data []byte
	for range n {
		if spec.DType == tensor.Bytes {
			s := strings.Repeat("s", g.rng.IntN(4))
			data = append(binary.LittleEndian.AppendUint32(data, uint32(len(s))), s...)
			continue
		}
		for range spec.DType.Size() {
			data = append(data, byte(g.rng.IntN(2)))
		}
	}
	if !raw || g.one(60) {
		in.Contents = g.contents(spec.DType, n)
	}
	return in, data
}

func (g *generator) contents(d tensor.DType, n int) *pb.InferTensorContents {
	c := &pb.InferTensorContents{}
	for range n {
		switch kind := kindOf(d); kind {
		case "bool":
			c.BoolContents = append(c.BoolContents, g.one(2))
		case "int":
			c.IntContents = append(c.IntContents, pick(g, int32(-1), 0, 1, 127, -128)+int32(g.rng.IntN(2)*g.rng.IntN(2)*g.rng.IntN(300)))
		case "uint":
			c.UintContents = append(c.UintContents, pick(g, uint32(0), 1, 255)+uint32(g.rng.IntN(2)*g.rng.IntN(2)))
		case "int64":
			c.Int64Contents = append(c.Int64Contents, int64(g.rng.Uint64()))
		case "uint64":
			c.Uint64Contents = append(c.Uint64Contents, g.rng.Uint64())
		case "fp64":
			c.Fp64Contents = append(c.Fp64Contents, g.rng.Float64())
		case "bytes":
			c.BytesContents = append(c.BytesContents, []byte(pick(g, "", "a", "\xff\x00")))
		default:
			c.Fp32Contents = append(c.Fp32Contents, g.rng.Float32())
		}
	}
	if g.one(30) {
		c.Fp32Contents = append(c.Fp32Contents, 1)
	}
	return c
}

// disturb rewrites a message: mostly in ways that change nothing to a reader of protobuf.
func (g *generator) disturb(b []byte) []byte {
	switch g.rng.IntN(8) {
	case 0, 1:
		return g.shuffle(b)
	case 2:
		return g.rewrite(b, 0)
	case 3:
		if len(b) > 0 && g.one(2) {
			b[g.rng.IntN(len(b))] = byte(g.rng.IntN(256))
		}
	case 4:
		if len(b) > 0 && g.one(4) {
			return b[:g.rng.IntN(len(b))]
		}
	case 5:
		return append(b, g.unknown()...)
	}
	return b
}

// shuffle reorders the fields of a message, and repeats one of its strings now and then.
func (g *generator) shuffle(b []byte) []byte {
	var fields [][]byte
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return b
		}
		fields = append(fields, b[:n])
		b = b[n:]
	}
	g.rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	if g.one(3) && len(fields) > 0 {
		fields = append(fields, pick(g, fields...))
	}
	var out []byte
	for _, f := range fields {
		out = append(out, f...)
	}
	return out
}

// rewrite takes the bytes fields of a message apart as if they were messages, where they can be, and puts
// unknown fields, packed elements one by one and longer varints in.
func (g *generator) rewrite(b []byte, depth int) []byte {
	var out []byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return append(out, b...)
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return append(out, b...)
		}
		value := b[n : n+m]
		b = b[n+m:]
		if g.one(4) {
			out = append(out, g.unknown()...)
		}
		if typ != protowire.BytesType || num == 7 && depth == 0 {
			out = append(protowire.AppendTag(out, num, typ), value...)
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		if depth == 1 && num == 3 && g.one(2) || depth == 2 && num >= 1 && num <= 5 && g.one(2) {
			for len(inner) > 0 {
				v, n := protowire.ConsumeVarint(inner)
				if n < 0 {
					break
				}
				out = protowire.AppendVarint(protowire.AppendTag(out, num, protowire.VarintType), v)
				inner = inner[n:]
			}
			continue
		}
		if message := depth == 0 && num >= 4 || depth == 1 && num >= 4; message {
			inner = g.rewrite(inner, depth+1)
		}
		out = protowire.AppendTag(out, num, typ)
		length := protowire.AppendVarint(nil, uint64(len(inner)))
		if g.one(3) && len(length) == 1 {
			length = []byte{length[0] | 0x80, 0}
		}
		out = append(append(out, length...), inner...)
	}
	return out
}

// unknown makes a field that nobody knows, or one with a wire type of another.
func (g *generator) unknown() []byte {
	num := pick(g, protowire.Number(1), 3, 9, 2000, 1<<29-1)
	switch g.rng.IntN(5) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), g.rng.Uint64())
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), g.rng.Uint32())
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), g.rng.Uint64())
	case 3:
		return protowire.AppendBytes(protowire.AppendTag(nil, num+10, protowire.BytesType), []byte("\xff\x00"))
	}
	b := protowire.AppendTag(nil, num, protowire.StartGroupType)
	b = append(b, 0x0b, 0x08, 0x01, 0x0c) // a group with a varint
	return protowire.AppendTag(b, num, protowire.EndGroupType)
}
