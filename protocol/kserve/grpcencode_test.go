package kserve_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

type tensorMsg = pb.ModelInferResponse_InferOutputTensor

// answerIs compares an encoded answer with what it should be, in every frame.
func answerIs(t *testing.T, m *infer.Model, id string, head kserve.Head, asked []int, rows infer.Rows, outs []out, want *pb.ModelInferResponse) {
	t.Helper()
	for _, piece := range []int{0, 1, 300} {
		for _, f := range []kserve.Frame{{}, {Prefix: true}, {Stream: true, Final: kserve.FinalNo}, {Prefix: true, Stream: true, Final: kserve.FinalYes}} {
			b, err := encodeMessage(t, m, id, head, f, asked, rows, outs, piece)
			if err != nil {
				t.Fatal(err)
			}
			got := &pb.ModelInferResponse{}
			if f.Prefix {
				if b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-message.PrefixSize {
					t.Fatalf("prefix %x of %d bytes", b[:5], len(b)-message.PrefixSize)
				}
				b = b[message.PrefixSize:]
			}
			if f.Stream {
				s := &pb.ModelStreamInferResponse{}
				if err := proto.Unmarshal(b, s); err != nil || s.ErrorMessage != "" {
					t.Fatal(err, s.ErrorMessage)
				}
				got = s.InferResponse
			} else if err := proto.Unmarshal(b, got); err != nil {
				t.Fatal(err)
			}
			want := proto.Clone(want).(*pb.ModelInferResponse)
			if f.Final != kserve.FinalUnsaid {
				want.Parameters = map[string]*pb.InferParameter{"triton_final_response": boolParam(f.Final == kserve.FinalYes)}
			}
			if !proto.Equal(got, want) {
				t.Errorf("%+v: %s\nwant %s", f, prototext.Format(got), prototext.Format(want))
			}
		}
	}
}

func TestEncodeMessage(t *testing.T) {
	m := classes()
	big := strings.Repeat("0123", 2000)
	p2 := out{0, tensor.FP32, []int64{2, 3}, string(f32(0.25, 0.5, 0.25, 3, 1, 2))}
	n2 := out{1, tensor.Int64, []int64{2, 2}, i64(1, -2, 3, 4)}
	s2 := out{2, tensor.Bytes, []int64{2}, bytesElements("ab", strings.Repeat("c", 400))}
	large := out{1, tensor.Int64, []int64{2, 500}, big}
	answer := func(id string, raws []string, outs ...*tensorMsg) *pb.ModelInferResponse {
		a := &pb.ModelInferResponse{ModelName: "c", ModelVersion: "2", Id: id, Outputs: outs}
		for _, r := range raws {
			a.RawOutputContents = append(a.RawOutputContents, []byte(r))
		}
		return a
	}
	row := infer.Rows{First: 1, N: 1}
	for _, tc := range []struct {
		name  string
		id    string
		head  kserve.Head
		asked []int
		rows  infer.Rows
		outs  []out
		want  *pb.ModelInferResponse
	}{
		{"nothing", "", kserve.Head{}, nil, infer.AllRows, nil, answer("", nil)},
		{
			"all", "7",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{p2, n2, s2},
			answer("7", []string{p2.data, n2.data, s2.data}, &tensorMsg{Name: "p", Datatype: "FP32", Shape: []int64{2, 3}},
				&tensorMsg{Name: "n", Datatype: "INT64", Shape: []int64{2, 2}}, &tensorMsg{Name: "s", Datatype: "BYTES", Shape: []int64{2}}),
		},
		{
			"large and small in turn", "é",
			kserve.Head{},
			[]int{1, 0, 2},
			infer.AllRows,
			[]out{p2, large, s2},
			answer("é", []string{big, p2.data, s2.data}, &tensorMsg{Name: "n", Datatype: "INT64", Shape: []int64{2, 500}},
				&tensorMsg{Name: "p", Datatype: "FP32", Shape: []int64{2, 3}}, &tensorMsg{Name: "s", Datatype: "BYTES", Shape: []int64{2}}),
		},
		{
			"rows", "",
			kserve.Head{},
			nil,
			row,
			[]out{p2, large, s2},
			answer("", []string{p2.data[12:], big[4000:], bytesElements(strings.Repeat("c", 400))}, &tensorMsg{Name: "p", Datatype: "FP32", Shape: []int64{1, 3}},
				&tensorMsg{Name: "n", Datatype: "INT64", Shape: []int64{1, 500}}, &tensorMsg{Name: "s", Datatype: "BYTES", Shape: []int64{1}}),
		},
		{
			"classes", "",
			kserve.Head{Outputs: []kserve.OutputForm{{Classes: 2}, {}}},
			[]int{0, 1},
			row,
			[]out{p2, n2},
			answer("", []string{bytesElements("3.0:0:cat", "2.0:2"), n2.data[16:]}, &tensorMsg{Name: "p", Datatype: "BYTES", Shape: []int64{1, 2}},
				&tensorMsg{Name: "n", Datatype: "INT64", Shape: []int64{1, 2}}),
		},
		{
			"empty and scalar", "",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{{0, tensor.FP32, []int64{0, 3}, ""}, {1, tensor.Int64, nil, i64(9)}},
			answer("", []string{"", i64(9)}, &tensorMsg{Name: "p", Datatype: "FP32", Shape: []int64{0, 3}}, &tensorMsg{Name: "n", Datatype: "INT64"}),
		},
		{
			"long shape", "",
			kserve.Head{},
			nil, infer.AllRows,
			[]out{{0, tensor.FP32, []int64{1, 300, 0, 1 << 40}, ""}},
			answer("", []string{""}, &tensorMsg{Name: "p", Datatype: "FP32", Shape: []int64{1, 300, 0, 1 << 40}}),
		},
	} {
		t.Run(tc.name, func(t *testing.T) { answerIs(t, m, tc.id, tc.head, tc.asked, tc.rows, tc.outs, tc.want) })
	}
}

func TestEncodeMessageRefuses(t *testing.T) {
	m := classes()
	for _, tc := range []struct {
		name  string
		head  kserve.Head
		asked []int
		rows  infer.Rows
		outs  []out
		code  infer.Code
		text  string
	}{
		{"missing output", kserve.Head{}, []int{1}, infer.AllRows, []out{{0, tensor.FP32, []int64{0, 3}, ""}}, infer.BadBackend, "output 'n' of model 'c' is missing in the backend's answer"},
		{"data of another size", kserve.Head{}, nil, infer.AllRows, []out{{0, tensor.FP32, []int64{1, 3}, "xxxx"}}, infer.BadBackend, "has data that does not agree with its shape"},
		{"negative shape", kserve.Head{}, nil, infer.AllRows, []out{{0, tensor.FP32, []int64{-1, 3}, "xxxx"}}, infer.BadBackend, "negative dimension"},
		{"fewer rows", kserve.Head{}, nil, infer.Rows{First: 1, N: 1}, []out{{1, tensor.Int64, []int64{1, 2}, i64(1, 2)}}, infer.BadBackend, "has fewer rows than were sent"},
		{"classes of strings", kserve.Head{Outputs: []kserve.OutputForm{{Classes: 1}}}, []int{0}, infer.AllRows, []out{{0, tensor.Bytes, []int64{0}, ""}}, infer.Invalid, "cannot be classified"},
		{"fault behind a large output", kserve.Head{}, nil, infer.AllRows, []out{{1, tensor.Int64, []int64{1, 500}, strings.Repeat("x", 4000)}, {0, tensor.FP32, []int64{1}, ""}}, infer.BadBackend, "does not agree"},
	} {
		b, err := encodeMessage(t, m, "", tc.head, kserve.Frame{Prefix: true}, tc.asked, tc.rows, tc.outs, 0)
		if err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.text) || len(b) != 0 {
			t.Errorf("%s: %v, %d bytes; want %s %s", tc.name, err, len(b), tc.code, tc.text)
		}
	}
}

// TestEncodeMessageOfTwoGigabytes shows the same megabyte to the encoder 2,048 times.
func TestEncodeMessageOfTwoGigabytes(t *testing.T) {
	mem := newMemory()
	m := single(tensor.Int8, -1)
	data := mem.Slabs.Get(1 << 20)
	req, resp := mem.NewRequest(), mem.NewResponse()
	o := resp.AddOutput()
	o.DType, o.Shape = tensor.Int8, []int64{1 << 31}
	for range 1 << 11 {
		o.Data.Append(data.View(0, 1<<20))
	}
	data.Release()
	var list slab.List
	err := kserve.NewMessageEncoder(mem.Slabs).Encode(kserve.Answer{Request: req, Head: &kserve.Head{}, Model: m, Response: resp, Rows: infer.AllRows}, kserve.Frame{}, &list)
	if err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend || !strings.Contains(err.Text, "model 'm' takes 21474836") || list.Len() != 0 {
		t.Errorf("%v, %d views", err, list.Len())
	}
	resp.Release()
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

// TestEncodeMessageWithoutAResponse writes the answer that ends a decoupled model's, behind what is there.
func TestEncodeMessageWithoutAResponse(t *testing.T) {
	mem := newMemory()
	req := mem.NewRequest()
	req.ID = req.Keep([]byte("i"))
	req.Outputs = append(req.Outputs, 0)
	var list slab.List
	list.Append(slab.View{B: []byte("before")})
	err := kserve.NewMessageEncoder(mem.Slabs).Encode(kserve.Answer{Request: req, Head: &kserve.Head{}, Model: classes(), Rows: infer.AllRows}, kserve.Frame{Final: kserve.FinalYes}, &list)
	b := make([]byte, list.Size())
	list.CopyTo(b)
	got := &pb.ModelInferResponse{}
	if err != nil || !bytes.HasPrefix(b, []byte("before")) || proto.Unmarshal(b[6:], got) != nil {
		t.Fatalf("%v, %q", err, b)
	}
	want := &pb.ModelInferResponse{ModelName: "c", ModelVersion: "2", Id: "i", Parameters: map[string]*pb.InferParameter{"triton_final_response": boolParam(true)}}
	if !proto.Equal(got, want) {
		t.Errorf("got %s", prototext.Format(got))
	}
	list.Release()
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

func TestAppendStreamError(t *testing.T) {
	for _, tc := range []struct {
		text, id string
		final    kserve.Final
		want     string
	}{
		{"broken", "7", kserve.FinalUnsaid, "broken"},
		{"broken", "", kserve.FinalUnsaid, "broken"},
		{"broken", "", kserve.FinalNo, "broken"},
		{"a\xffb", "7", kserve.FinalYes, "a\uFFFDb"},
		{strings.Repeat("long ", 100), "id", kserve.FinalYes, strings.Repeat("long ", 100)},
	} {
		b := kserve.AppendStreamError(nil, tc.text, []byte(tc.id), tc.final, true)
		if int(binary.BigEndian.Uint32(b[1:])) != len(b)-message.PrefixSize || !bytes.Equal(kserve.AppendStreamError(nil, tc.text, []byte(tc.id), tc.final, false), b[message.PrefixSize:]) {
			t.Errorf("%q: prefix %x", tc.text, b[:5])
		}
		want := &pb.ModelStreamInferResponse{ErrorMessage: tc.want}
		if tc.id != "" || tc.final != kserve.FinalUnsaid {
			want.InferResponse = &pb.ModelInferResponse{Id: tc.id}
		}
		if tc.final != kserve.FinalUnsaid {
			want.InferResponse.Parameters = map[string]*pb.InferParameter{"triton_final_response": boolParam(tc.final == kserve.FinalYes)}
		}
		got := &pb.ModelStreamInferResponse{}
		if err := proto.Unmarshal(b[message.PrefixSize:], got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%q: %v, %v", tc.text, got, err)
		}
	}
}

// FuzzEncodeMessage reads random answers back with generated code.
func FuzzEncodeMessage(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	m := everyType()
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := &pb.ModelInferResponse{ModelName: "m", ModelVersion: "1", Id: strings.Repeat("i", rng.IntN(3)*100)}
		var outs []out
		for i, spec := range m.Outputs {
			if rng.IntN(3) > 0 {
				continue
			}
			n := rng.IntN(400)
			data := make([]byte, n*spec.DType.Size())
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			if spec.DType == tensor.Bytes {
				data = []byte(bytesElements(make([]string, n)...))
			}
			shape := []int64{int64(n)}
			if rng.IntN(2) == 0 {
				shape = []int64{1, int64(n), 1}
			}
			outs = append(outs, out{i, spec.DType, shape, string(data)})
			want.Outputs = append(want.Outputs, &tensorMsg{Name: spec.Name, Datatype: spec.DType.String(), Shape: shape})
			want.RawOutputContents = append(want.RawOutputContents, data)
		}
		b, err := encodeMessage(t, m, want.Id, kserve.Head{}, kserve.Frame{}, nil, infer.AllRows, outs, rng.IntN(700))
		got := &pb.ModelInferResponse{}
		if err != nil || proto.Unmarshal(b, got) != nil || !proto.Equal(got, want) {
			t.Fatalf("%v\n%s\nwant %s", err, prototext.Format(got), prototext.Format(want))
		}
	})
}
