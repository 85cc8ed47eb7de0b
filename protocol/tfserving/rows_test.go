package tfserving

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// instances encodes a run row by row.
func (r *runOf) instances() (string, *infer.Error) {
	var out slab.List
	err := NewInstancesEncoder(r.mem.Slabs).Encode(r.batch, &out)
	body := string(flatten(&out))
	out.Release()
	return body, err
}

// predictions decodes an answer row by row, laid out in pieces.
func (r *runOf) predictions(answer string, piece int) (*infer.Response, *infer.Error) {
	resp := r.mem.NewResponse()
	body := bodyOf(r.mem.Slabs, []byte(answer), piece)
	defer body.Release()
	return resp, NewPredictionsDecoder(r.mem.Slabs).Decode(r.batch, body, resp)
}

// showOutputs writes the outputs of a response: name, shape, data.
func showOutputs(m *infer.Model, r *infer.Response) string {
	var lines []string
	for i := range r.Outputs {
		o := &r.Outputs[i]
		lines = append(lines, fmt.Sprintf("%s%s %x", m.Outputs[o.Index].Name, tensor.ShapeString(o.Shape), flatten(&o.Data)))
	}
	return strings.Join(lines, "; ")
}

func floats(rows int64, values ...float32) *pb.TensorProto {
	return content(tensor.FP32, f32(values...), rows, int64(len(values))/rows)
}

func TestInstances(t *testing.T) {
	bytesModel := single(tensor.Bytes, -1)
	bytesModel.Inputs[0].Name = "x_bytes"
	batched := single(tensor.FP32, -1, 2)
	batched.MaxBatch = 8
	one := sent{req: predict(map[string]*pb.TensorProto{"x": floats(1, 1, -2.5)})}
	for _, tc := range []struct {
		name string
		m    *infer.Model
		sent []sent
		want string
	}{
		{"one input", single(tensor.FP32, -1, 2), []sent{one}, `{"instances":[[1.0,-2.5]]}`},
		{"merged", single(tensor.FP32, -1, 2), []sent{one, {req: predict(map[string]*pb.TensorProto{"x": floats(2, 1, 2, 3, 4)})}}, `{"instances":[[1.0,-2.5],[1.0,2.0],[3.0,4.0]]}`},
		{"a part", batched, []sent{{predict(map[string]*pb.TensorProto{"x": floats(3, 1, 2, 3, 4, 5, 6)}), infer.Rows{First: 1, N: 1}}}, `{"instances":[[3.0,4.0]]}`},
		{"a list of values", single(tensor.Int64, -1), []sent{{req: predict(map[string]*pb.TensorProto{"x": content(tensor.Int64, ramp(tensor.Int64, 2), 2)})}}, `{"instances":[-9,-2]}`},
		{"deep", single(tensor.Bool, -1, -1, -1), []sent{{req: predict(map[string]*pb.TensorProto{"x": content(tensor.Bool, ramp(tensor.Bool, 4), 1, 2, 2)})}}, `{"instances":[[[false,true],[false,true]]]}`},
		{"bytes", bytesModel, []sent{{req: predict(map[string]*pb.TensorProto{"x_bytes": content(tensor.Bytes, elements("\xff", "a"), 2)})}}, `{"instances":[{"b64":"/w=="},{"b64":"YQ=="}]}`},
		{"several inputs", addSub(), []sent{{req: predict(map[string]*pb.TensorProto{"A": floats(2, 1, 2, 3, 4), "B": floats(2, 5, 6, 7, 8)})}}, `{"instances":[{"A":[1.0,2.0],"B":[5.0,6.0]},{"A":[3.0,4.0],"B":[7.0,8.0]}]}`},
	} {
		for _, piece := range []int{0, 9} {
			r := batchOf(t, tc.m, piece, tc.sent...)
			got, err := r.instances()
			if got = strings.ReplaceAll(got, `{"B":[5.0,6.0],"A":[1.0,2.0]},{"B":[7.0,8.0],"A":[3.0,4.0]}`, `{"A":[1.0,2.0],"B":[5.0,6.0]},{"A":[3.0,4.0],"B":[7.0,8.0]}`); err != nil || got != tc.want {
				t.Errorf("%s: got %s, %v, want %s", tc.name, got, err, tc.want)
			}
			r.end(t)
		}
	}
	q := predict(map[string]*pb.TensorProto{"z": content(tensor.Int32, ramp(tensor.Int32, 1), 1)})
	q.ModelSpec = &pb.ModelSpec{Name: "signed", SignatureName: "other"}
	r := batchOf(t, signed(), 0, sent{req: q})
	if got, err := r.instances(); err != nil || got != `{"signature_name":"other","instances":[{"z":-9}]}` {
		t.Errorf("a signature: got %s, %v", got, err)
	}
	r.end(t)
}

func TestInstancesRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    *infer.Model
		in   *pb.TensorProto
		code infer.Code
		want string
	}{
		{"scalar", single(tensor.FP32), content(tensor.FP32, f32(1)), infer.Unsupported, "is one value and has no rows"},
		{"no rows", single(tensor.FP32, -1), content(tensor.FP32, nil, 0), infer.Invalid, "has no rows"},
		{"not text", single(tensor.Bytes, -1), content(tensor.Bytes, elements("\xff"), 1), infer.Invalid, "not UTF-8"},
		{"lists without end", single(tensor.FP32, -1, -1, -1), content(tensor.FP32, nil, 1, 1<<30, 0), infer.Invalid, "too large"},
	} {
		r := batchOf(t, tc.m, 0, sent{req: predict(map[string]*pb.TensorProto{"x": tc.in})})
		if got, err := r.instances(); err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.want) || got != "" {
			t.Errorf("%s: got %s, %v", tc.name, got, err)
		}
		r.end(t)
	}
	r := batchOf(t, &infer.Model{Name: "m", Inputs: []infer.Spec{specOf("a", tensor.FP32, -1), specOf("b", tensor.FP32, -1)}, Outputs: []infer.Spec{specOf("y", tensor.FP32, -1)}}, 0,
		sent{req: predict(map[string]*pb.TensorProto{"a": content(tensor.FP32, f32(1), 1), "b": content(tensor.FP32, f32(1, 2), 2)})})
	if _, err := r.instances(); err == nil || !strings.Contains(err.Text, "another number of rows") {
		t.Errorf("rows that differ: %v", err)
	}
	r.end(t)
}

// TestRowsRoundTrip has a server answer with what it reads, of every type.
func TestRowsRoundTrip(t *testing.T) {
	for _, d := range everyType {
		m := single(d, -1, 3)
		data := ramp(d, 6)
		r := batchOf(t, m, 0, sent{req: predict(map[string]*pb.TensorProto{"x": content(d, data, 2, 3)})})
		body, err := r.instances()
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		resp, err := r.predictions(strings.Replace(body, "instances", "predictions", 1), 7)
		if err != nil {
			t.Fatalf("%s: %s: %v", d, body, err)
		}
		if got := flatten(&resp.Outputs[0].Data); !bytes.Equal(got, data) || tensor.ShapeString(resp.Outputs[0].Shape) != "[2,3]" {
			t.Errorf("%s: got %v %x, want %x", d, resp.Outputs[0].Shape, got, data)
		}
		resp.Release()
		r.end(t)
	}
}

// addSubRow is a request for a row of addSub.
func addSubRow() sent {
	return sent{req: predict(map[string]*pb.TensorProto{"A": floats(1, 1, 2), "B": floats(1, 3, 4)})}
}

func TestPredictions(t *testing.T) {
	r := batchOf(t, addSub(), 0, addSubRow())
	defer r.end(t)
	want := "SUM[2,2] 0000803f000000400000404000008040; DIFF[2,2] 0000a0400000c0400000e04000000041"
	for _, answer := range []string{
		`{"predictions":[{"SUM":[1,2.0],"DIFF":[5,6]},{"DIFF":[7,8],"SUM":[3e0,4]}]}`,
		` {"model":{"a":null},"predictions" : [ {"SUM":[1,2],"DIFF":[5,6]},{"SUM":[3,4],"DIFF":[7,8]}],"x":1} `,
	} {
		resp, err := r.predictions(answer, 11)
		if err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		if got := showOutputs(r.batch.Model, resp); got != want {
			t.Errorf("%s: got %s", answer, got)
		}
		resp.Release()
	}
	q := predict(map[string]*pb.TensorProto{"z": content(tensor.Int32, ramp(tensor.Int32, 1), 1)})
	q.ModelSpec = &pb.ModelSpec{Name: "signed", SignatureName: "other"}
	s := batchOf(t, signed(), 0, sent{req: q})
	defer s.end(t)
	resp, err := s.predictions(`{"predictions":[1.5]}`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := showOutputs(s.batch.Model, resp); got != "y[1] 0000c03f" {
		t.Errorf("the output of a signature: got %s", got)
	}
	resp.Release()
	if resp, err = s.predictions(`{"predictions":[null]}`, 0); err != nil {
		t.Fatal(err)
	}
	if got := showOutputs(s.batch.Model, resp); got != "y[1] 0000c07f" {
		t.Errorf("NaN as null: got %s", got)
	}
	resp.Release()
}

// nonsense are answers to addSubRow that no client may see.
var nonsense = []string{
	``, `null`, `[]`, `{}`, `<html>`, `{"predictions":null}`, `{"predictions":{}}`, `{"predictions":[1]}`, `{"predictions":[]}`,
	`{"predictions":[{"SUM":[1,2]},{"DIFF":[1,2]}]}`, `{"predictions":[{"SUM":[1,2]},{"SUM":[1,2],"DIFF":[1,2]}]}`, `{"predictions":[{"SUM":[1,2]},3]}`,
	`{"predictions":[{"SUM":[1,2,3]}]}`, `{"predictions":[{"SUM":[[1,2]]}]}`, `{"predictions":[{"SUM":1}]}`, `{"predictions":[{"SUM":[1,"2"]}]}`, `{"predictions":[{"SUM":[1,nil]}]}`, `{"predictions":[{"SUM":[1,{}]}]}`,
	`{"predictions":[{"SUM":[1,2],"X":1}]}`, `{"predictions":[{"SUM":[1,2],"SUM":[1,2]}]}`, `{"predictions":[{"SUM":[1,2]}]}x`, `{"predictions":[{"SUM":[1,1e999]}]}`, `{"predictions":[{"SUM":[1,2]}`,
	`{"error":"no"}`, `{"predictions":[{}]}`, `{"predictions":[{},{}]}`, `{"predictions":[{"SUM":[1,2]}],"predictions":[{"SUM":[1,2]}]}`,
}

func TestPredictionsNonsense(t *testing.T) {
	r := batchOf(t, addSub(), 0, addSubRow())
	defer r.end(t)
	for _, answer := range nonsense {
		resp, err := r.predictions(answer, 0)
		if err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend {
			t.Errorf("%s: got %v", answer, err)
		}
		resp.Release()
	}
}

// FuzzPredictions has servers answer anything: what stands fits the model, and is the same when it is written and read
// once more.
func FuzzPredictions(f *testing.F) {
	for _, answer := range nonsense {
		f.Add([]byte(answer), byte(0))
	}
	f.Add([]byte(`{"predictions":[{"SUM":[1,2],"DIFF":[5,6]}]}`), byte(0))
	for i := range everyType {
		f.Add([]byte(`{"predictions":[[1,0],[1,2]]}`), byte(i+1))
	}
	f.Add([]byte(`{"predictions":[["a","\n"],[{"b64":"/w=="},""]]}`), byte(len(everyType)))
	f.Fuzz(func(t *testing.T, answer []byte, which byte) {
		m, request := addSub(), addSubRow()
		if i := int(which) - 1; i >= 0 && i < len(everyType) {
			m = single(everyType[i], -1, -1)
			request = sent{req: predict(map[string]*pb.TensorProto{"x": content(everyType[i], ramp(everyType[i], 1), 1, 1)})}
		}
		r := batchOf(t, m, 0, request)
		defer r.end(t)
		resp, err := r.predictions(string(answer), 5)
		defer resp.Release()
		if err != nil {
			if err.Code != infer.BadBackend {
				t.Fatal(err)
			}
			return
		}
		var out slab.List
		defer out.Release()
		if err := NewEncoder(r.mem.Slabs).Encode(Answer{r.calls[0].Request, m, resp, infer.AllRows}, Rows, &out); err != nil {
			if err.Code == infer.Invalid && strings.Contains(err.Text, "UTF-8") {
				return // base 64 said so
			}
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if len(resp.Outputs) < len(m.Outputs) {
			return // one that came alone is written without its name
		}
		again, err := r.predictions(string(flatten(&out)), 0)
		defer again.Release()
		if err != nil {
			t.Fatalf("%s: what was written cannot be read: %v", flatten(&out), err)
		}
		if a, b := showOutputs(m, resp), showOutputs(m, again); a != b {
			t.Fatalf("got %s, then %s", a, b)
		}
	})
}

func TestStatusOfModels(t *testing.T) {
	for body, want := range map[string]string{
		``: "", `{"name":"m","ready":true}`: "", `{"name":"m","ready":false}`: "it is not ready",
		`{"model_version_status":[{"version":"1","state":"END"},{"version":"2","state":"AVAILABLE"}]}`: "",
		`{"model_version_status":[{"version":"1","state":"LOADING"}]}`:                                 "its state is LOADING",
	} {
		if got, err := ParseStatus([]byte(body)); got != want || err != nil {
			t.Errorf("%s: got %q, %v", body, got, err)
		}
	}
	if _, err := ParseStatus([]byte(`{"ready":1}`)); err == nil {
		t.Error("a status that is none is taken")
	}
}

// TestMetadataReadsBack reads what this package writes.
func TestMetadataReadsBack(t *testing.T) {
	for _, m := range []*infer.Model{addSub(), signed()} {
		answer := &pb.GetModelMetadataResponse{}
		if err := ParseMetadata(Metadata(m), answer); err != nil {
			t.Fatal(err)
		}
		var got, want pb.SignatureDefMap
		for _, u := range []struct {
			from *pb.GetModelMetadataResponse
			to   *pb.SignatureDefMap
		}{{answer, &got}, {MetadataMessage(m), &want}} {
			if err := u.from.GetMetadata()["signature_def"].UnmarshalTo(u.to); err != nil {
				t.Fatal(err)
			}
		}
		if !proto.Equal(&got, &want) {
			t.Errorf("%s: got %v, want %v", m.Name, &got, &want)
		}
	}
	if err := ParseMetadata([]byte(`{"metadata":{}}`), &pb.GetModelMetadataResponse{}); err == nil {
		t.Error("metadata without signatures are taken")
	}
}
