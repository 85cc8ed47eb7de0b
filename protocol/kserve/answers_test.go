package kserve_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
)

// remoteAnswer is what a backend gave to a merged run of three rows.
func remoteAnswer() *pb.ModelInferResponse {
	p := answeredBy([]string{string(f32(1, 2, 3, 4, 5, 6))}, answered("SUM", "FP32", 3, 2))
	p.ModelName, p.Id = "up", "not the client's"
	p.Parameters = map[string]*pb.InferParameter{"b": boolParam(false), "f": doubleParam(0.5), "i": intParam(-1), "s\n": stringParam("\"é\""), "u": uintParam(1 << 63), "none": {}}
	p.Outputs[0].Parameters = map[string]*pb.InferParameter{"binary_data_size": intParam(7), "content_type": stringParam("np"), "none": {}, "u": uintParam(1 << 63)}
	return p
}

// TestMergedAnswersOverGRPC gives each member of a merged run its rows, and everybody the parameters.
func TestMergedAnswersOverGRPC(t *testing.T) {
	r := batchOf(t, addSub(), 0, sent{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}, sent{msg: addSubRequest(2)})
	resp, err := r.answerOf(t, marshalMessage(t, remoteAnswer()), 9)
	if err != nil {
		t.Fatal(err)
	}
	want := func(raw string, o *tensorMsg) *pb.ModelInferResponse {
		p := answeredBy([]string{raw}, o)
		p.Id, p.Parameters = "7", remoteAnswer().Parameters
		delete(p.Parameters, "none")
		p.Parameters["triton_final_response"] = boolParam(true)
		if o.Datatype != "BYTES" { // they are not of classes
			o.Parameters = map[string]*pb.InferParameter{"content_type": stringParam("np"), "u": uintParam(1 << 63)}
		}
		return p
	}
	for i, tc := range []struct {
		rows infer.Rows
		want *pb.ModelInferResponse
	}{
		{infer.Rows{N: 1}, want(bytesElements("2.0:1"), answered("SUM", "BYTES", 1, 1))},
		{infer.Rows{First: 1, N: 2}, want(string(f32(3, 4, 5, 6)), answered("SUM", "FP32", 2, 2))},
	} {
		var list slab.List
		err := kserve.NewMessageEncoder(r.mem.Slabs).Encode(kserve.Answer{Request: r.calls[i].Request, Head: &r.heads[i], Model: r.batch.Model, Response: resp, Rows: tc.rows}, kserve.Frame{Final: kserve.FinalYes}, &list)
		got := &pb.ModelInferResponse{}
		if err != nil || proto.Unmarshal(flat(&list), got) != nil || !proto.Equal(got, tc.want) {
			t.Errorf("member %d: %v, %s\nwant %s", i, err, prototext.Format(got), prototext.Format(tc.want))
		}
		list.Release()
	}
	resp.Release()
	r.end(t)
}

// TestRemoteAnswersOverREST writes what came over gRPC as JSON and as binary data.
func TestRemoteAnswersOverREST(t *testing.T) {
	request := `{"id":"j","inputs":[{"name":"A","shape":[3,2],"datatype":"FP32","data":[1,2,3,4,5,6]},{"name":"B","shape":[3,2],"datatype":"FP32","data":[1,2,3,4,5,6]}],` +
		`"outputs":[{"name":"SUM","parameters":{"FORM"}}]}`
	head := `{"id":"j","model_name":"addsub","model_version":"1","parameters":{"b":false,"f":0.5,"i":-1,"s\n":"\"é\"","u":9223372036854775808},"outputs":[{"name":"SUM","datatype":"`
	for _, tc := range []struct {
		name, form, want string
		binary           bool
	}{
		{"JSON", `"binary_data":false`, `FP32","shape":[3,2],"parameters":{"content_type":"np","u":9223372036854775808},"data":[1.0,2.0,3.0,4.0,5.0,6.0]}]}`, false},
		{"binary", `"binary_data":true`, `FP32","shape":[3,2],"parameters":{"binary_data_size":24,"content_type":"np","u":9223372036854775808}}]}` + string(f32(1, 2, 3, 4, 5, 6)), true},
		{"classes", `"classification":1`, `BYTES","shape":[3,1],"data":["2.0:1","4.0:1","6.0:1"]}]}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := batchOf(t, addSub(), 0, sent{json: strings.Replace(request, `"FORM"`, tc.form, 1)})
			resp, err := r.answerOf(t, marshalMessage(t, remoteAnswer()), 9)
			if err != nil {
				t.Fatal(err)
			}
			var list slab.List
			n, err := rest.NewEncoder(r.mem.Slabs).Encode(kserve.Answer{Request: r.calls[0].Request, Head: &r.heads[0], Model: r.batch.Model, Response: resp, Rows: infer.AllRows}, &list)
			if got := string(flat(&list)); err != nil || got != head+tc.want || (n > 0) != tc.binary {
				t.Errorf("%v, %d, %s\nwant %s", err, n, got, head+tc.want)
			}
			list.Release()
			resp.Release()
			r.end(t)
		})
	}
}
