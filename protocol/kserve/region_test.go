package kserve_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// sharing is a model whose tensors may lie in regions.
func sharing() *infer.Model {
	return &infer.Model{
		Name: "m", Version: "1", Regions: true,
		Inputs:  []infer.Spec{spec("a", tensor.FP32, -1), spec("b", tensor.Int8, -1), spec("s", tensor.Bytes, -1)},
		Outputs: []infer.Spec{spec("x", tensor.FP32, -1), spec("y", tensor.Int8, -1)},
	}
}

// inRegion are the parameters of a tensor that lies in region r.
func inRegion(size, offset int64) map[string]*pb.InferParameter {
	p := map[string]*pb.InferParameter{"shared_memory_region": stringParam("r"), "shared_memory_byte_size": intParam(size)}
	if offset > 0 {
		p["shared_memory_offset"] = intParam(offset)
	}
	return p
}

// TestRegionsTravel holds that what lies in regions reaches the server as it was said, whichever protocol said it, and
// the tensors beside it with their data.
func TestRegionsTravel(t *testing.T) {
	in := func(name, dtype string, n int64, params map[string]*pb.InferParameter) *inputMsg {
		return &inputMsg{Name: name, Datatype: dtype, Shape: []int64{n}, Parameters: params}
	}
	want := &pb.ModelInferRequest{
		ModelName: "theirs", ModelVersion: "3",
		Inputs: []*inputMsg{
			in("a", "FP32", 4, inRegion(16, 8)), in("b", "INT8", 3, nil), in("s", "BYTES", 1, inRegion(9, 0)),
		},
		Outputs:          []*outputMsg{{Name: "y"}, {Name: "x", Parameters: inRegion(64, 128)}},
		RawInputContents: [][]byte{{1, 2, 3}},
	}
	asked := proto.Clone(want).(*pb.ModelInferRequest)
	asked.ModelName, asked.ModelVersion = "m", "1"
	const json = `{"inputs":[
		{"name":"a","shape":[4],"datatype":"FP32","parameters":{"shared_memory_region":"r","shared_memory_byte_size":16,"shared_memory_offset":8}},
		{"name":"b","shape":[3],"datatype":"INT8","data":[1,2,3]},
		{"parameters":{"shared_memory_byte_size":9,"shared_memory_region":"r"},"name":"s","shape":[1],"datatype":"BYTES"}],
		"outputs":[{"name":"y"},{"name":"x","parameters":{"shared_memory_region":"r","shared_memory_byte_size":64,"shared_memory_offset":128}}]}`
	for name, s := range map[string]sent{"gRPC": {msg: asked}, "REST": {json: json}} {
		t.Run(name, func(t *testing.T) {
			r := batchOf(t, sharing(), 0, s)
			defer r.end(t)
			req := r.calls[0].Request
			if !req.Regions || req.Inputs[0].Region == nil || req.Inputs[1].Region != nil || req.Inputs[0].Data.Size() != 0 || req.Bytes != 3 {
				t.Errorf("decoded as %+v", req)
			}
			var out slab.List
			defer out.Release()
			if err := kserve.NewRequestEncoder(r.mem.Slabs).Encode(r.batch, "theirs", "3", &out); err != nil {
				t.Fatal(err)
			}
			got := &pb.ModelInferRequest{}
			if err := proto.Unmarshal(flat(&out), got); err != nil || !proto.Equal(got, want) {
				t.Errorf("encoded as %v, %v\nwant %v", got, err, want)
			}
			checkRegionAnswer(t, r)
		})
	}
}

// checkRegionAnswer answers with output x in its region and y in the message.
func checkRegionAnswer(t *testing.T, r *runOf) {
	t.Helper()
	msg := &pb.ModelInferResponse{
		ModelName: "m", ModelVersion: "1",
		Outputs: []*pb.ModelInferResponse_InferOutputTensor{
			{Name: "y", Datatype: "INT8", Shape: []int64{2}}, {Name: "x", Datatype: "FP32", Shape: []int64{16}},
		},
		RawOutputContents: [][]byte{{7, 8}, {}},
	}
	decode := func() (*infer.Response, *infer.Error) {
		resp := r.mem.NewResponse()
		body := bodyOf(r.mem.Slabs, marshalMessage(t, msg), 0)
		err := kserve.NewResponseDecoder(r.mem.Slabs).Decode(r.batch.Model, r.batch, body, resp)
		return resp, err
	}
	resp, err := decode()
	defer resp.Release()
	if err != nil {
		t.Fatal(err)
	}
	var out slab.List
	defer out.Release()
	length, err := rest.NewEncoder(r.mem.Slabs).Encode(kserve.Answer{
		Request: r.calls[0].Request, Head: &r.heads[0], Model: r.batch.Model, Response: resp, Rows: infer.AllRows,
	}, &out)
	const want = `{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"INT8","shape":[2],"data":[7,8]},{"name":"x","datatype":"FP32","shape":[16]}]}`
	if got := string(flat(&out)); err != nil || length != 0 || got != want {
		t.Errorf("answered %s, %v\nwant %s", got, err, want)
	}
	for what, raws := range map[string][][]byte{"in both places": {{7, 8}, make([]byte, 64)}, "the other is empty": {{}, {}}} {
		msg.RawOutputContents = raws
		bad, err := decode()
		if err == nil || err.Code != infer.BadBackend {
			t.Errorf("%s: %v", what, err)
		}
		bad.Release()
	}
}

func TestRegionsThatCannotBe(t *testing.T) {
	for _, tc := range []struct {
		name, params, want string
	}{
		{"no name", `"shared_memory_byte_size":16`, "must have a shared_memory_region and a shared_memory_byte_size"},
		{"no size", `"shared_memory_region":"r"`, "must have a shared_memory_region and a shared_memory_byte_size"},
		{"an offset alone", `"shared_memory_offset":0`, "must have a shared_memory_region and a shared_memory_byte_size"},
		{"an empty name", `"shared_memory_region":"","shared_memory_byte_size":16`, "must be the name of a region"},
		{"a long name", `"shared_memory_region":"` + strings.Repeat("r", 257) + `","shared_memory_byte_size":16`, "must be the name of a region"},
		{"a name that is none", `"shared_memory_region":1,"shared_memory_byte_size":16`, "must be the name of a region"},
		{"a negative size", `"shared_memory_region":"r","shared_memory_byte_size":-1`, "must be a whole number of bytes"},
		{"a size that is text", `"shared_memory_region":"r","shared_memory_byte_size":"16"`, "must be a whole number of bytes"},
		{"a size beyond 63 bits", `"shared_memory_region":"r","shared_memory_byte_size":9223372036854775808`, "must be a whole number of bytes"},
		{"a negative offset", `"shared_memory_region":"r","shared_memory_byte_size":16,"shared_memory_offset":-1`, "must be a whole number of bytes"},
		{"an end beyond 63 bits", `"shared_memory_region":"r","shared_memory_byte_size":16,"shared_memory_offset":9223372036854775800`, "more than 63 bits together"},
		{"too small", `"shared_memory_region":"r","shared_memory_byte_size":15`, "expected 16 bytes, got 15"},
		{"too large", `"shared_memory_region":"r","shared_memory_byte_size":17`, "expected 16 bytes, got 17"},
		{"data as well", `"shared_memory_region":"r","shared_memory_byte_size":16},"data":[1,2,3,4],"x":{`, "must not have data as well"},
		{"binary data as well", `"shared_memory_region":"r","shared_memory_byte_size":16,"binary_data_size":16`, "must not have data as well"},
		{"an unknown parameter", `"shared_memory_size":16`, "is unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := `{"inputs":[{"name":"a","shape":[4],"datatype":"FP32","parameters":{` + tc.params + `}}]}`
			decodeAs(t, kserve.Source{Model: sharing(), HeaderLen: rest.NoHeader}, []byte(body), 0, func(d *decoded) {
				if d.err == nil || d.err.Code != infer.Invalid || !strings.Contains(d.err.Text, tc.want) {
					t.Errorf("got %v, want %s", d.err, tc.want)
				}
			})
		})
	}
	t.Run("contents as well", func(t *testing.T) {
		msg := request(nil, &inputMsg{
			Name: "a", Datatype: "FP32", Shape: []int64{4}, Parameters: inRegion(16, 0),
			Contents: &pb.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4}},
		})
		mem := newMemory()
		req, head := mem.NewRequest(), kserve.Head{}
		defer req.Release()
		move(&req.Body, bodyOf(mem.Slabs, marshalMessage(t, msg), 0))
		err := kserve.NewMessageDecoder(mem.Slabs).Decode(kserve.Source{Model: sharing(), Body: &req.Body}, req, &head)
		if err == nil || !strings.Contains(err.Text, "must not have contents as well") {
			t.Errorf("got %v", err)
		}
	})
}

// TestRegionsOfRefusedRequestsAreForgotten has a decoder refuse a request that speaks of a region, and then read one that
// speaks of none: they may be of different clients.
func TestRegionsOfRefusedRequestsAreForgotten(t *testing.T) {
	mem := newMemory()
	m := sharing()
	m.Inputs = m.Inputs[:1]
	overREST, overGRPC := rest.NewDecoder(mem.Slabs), kserve.NewMessageDecoder(mem.Slabs)
	decode := func(asREST bool, params string) (*infer.Request, *infer.Error) {
		req := mem.NewRequest()
		if asREST {
			body := `{"inputs":[{"name":"a","shape":[4],"datatype":"FP32","parameters":{` + params + `},"data":[1,2,3,4]}]}`
			move(&req.Body, bodyOf(mem.Slabs, []byte(body), 0))
			return req, overREST.Decode(kserve.Source{Model: m, Body: &req.Body, HeaderLen: rest.NoHeader}, req, &kserve.Head{})
		}
		in := &inputMsg{Name: "a", Datatype: "FP32", Shape: []int64{4}, Contents: &pb.InferTensorContents{Fp32Contents: []float32{1, 2, 3, 4}}}
		if params != "" {
			in.Parameters = map[string]*pb.InferParameter{"shared_memory_region": stringParam("r"), "shared_memory_byte_size": stringParam("16")}
		}
		move(&req.Body, bodyOf(mem.Slabs, marshalMessage(t, request(nil, in)), 0))
		return req, overGRPC.Decode(kserve.Source{Model: m, Body: &req.Body}, req, &kserve.Head{})
	}
	for _, asREST := range []bool{true, false} {
		for _, params := range []string{`"shared_memory_region":"r"`, `"shared_memory_byte_size":16,"shared_memory_region":"r"`} {
			bad, err := decode(asREST, params)
			if err == nil {
				t.Fatalf("over REST %v: a region beside data is taken", asREST)
			}
			bad.Release()
			good, err := decode(asREST, "")
			if err != nil || good.Regions || good.Inputs[0].Region != nil || good.Inputs[0].Data.Size() != 16 {
				t.Errorf("over REST %v: the request behind it: %v", asREST, err)
			}
			good.Release()
		}
	}
}

// parseText reads a message of the type of like.
func parseText(t *testing.T, like proto.Message, s string) proto.Message {
	t.Helper()
	m := like.ProtoReflect().New().Interface()
	if err := prototext.Unmarshal([]byte(s), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRegisteringRegions(t *testing.T) {
	for _, tc := range []struct {
		name, body, want string
		cuda             bool
	}{
		{"system", `{"key":"/k","offset":4,"byte_size":64}`, `name:"r" key:"/k" offset:4 byte_size:64`, false},
		{"system, no offset", `{"byte_size":64,"key":"k","more":[1]}`, `name:"r" key:"k" byte_size:64`, false},
		{"no key", `{"byte_size":64}`, "key", false},
		{"a path", `{"key":"/../etc/passwd","byte_size":64}`, "key", false},
		{"the server's own", `{"key":"triton_python_backend_shm_region_7","byte_size":64}`, "the server's own", false},
		{"the server's own, with slashes", `{"key":"//triton_python_backend_shm_region_7","byte_size":64}`, "the server's own", false},
		{"no size", `{"key":"k"}`, "byte_size", false},
		{"too large", `{"key":"k","byte_size":18446744073709551615}`, "byte_size", false},
		{"an end beyond 63 bits", `{"key":"k","byte_size":9223372036854775807,"offset":1}`, "byte_size", false},
		{"a negative size", `{"key":"k","byte_size":-1}`, "not negative", false},
		{"a size that is text", `{"key":"k","byte_size":"1"}`, "not negative", false},
		{"no JSON", `{`, "", false},
		{"cuda", `{"raw_handle":{"b64":"aGFuZGxl"},"device_id":1,"byte_size":64}`, `name:"r" raw_handle:"handle" device_id:1 byte_size:64`, true},
		{"cuda, no handle", `{"device_id":1,"byte_size":64}`, "raw_handle", true},
		{"cuda, no base64", `{"raw_handle":{"b64":"!"},"byte_size":64}`, "raw_handle", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, err := management.ParseRegion([]byte("r"), tc.cuda, []byte(tc.body))
			switch {
			case err != nil && (strings.HasPrefix(tc.want, "name:") || !strings.Contains(err.Text, tc.want)):
				t.Errorf("refused: %v", err)
			case err == nil && !proto.Equal(q, parseText(t, q, tc.want)):
				t.Errorf("got %v, want %s", q, tc.want)
			}
		})
	}
}

// FuzzRegions holds that what is accepted of tensors in regions, over REST or gRPC, is what the server is asked: each
// input has its data or a region, and the message is one that protobuf reads.
func FuzzRegions(f *testing.F) {
	f.Add([]byte(`{"inputs":[{"name":"a","shape":[4],"datatype":"FP32","parameters":{"shared_memory_region":"r","shared_memory_byte_size":16}},` +
		`{"name":"b","shape":[1],"datatype":"INT8","data":[1]},{"name":"s","shape":[0],"datatype":"BYTES","data":[]}],` +
		`"outputs":[{"name":"y","parameters":{"shared_memory_region":"r","shared_memory_byte_size":1,"shared_memory_offset":9}}]}`))
	msg := request([]string{"x"}, &inputMsg{Name: "a", Datatype: "FP32", Shape: []int64{4}, Parameters: inRegion(16, 3)},
		inputOf("b", "INT8", 1), &inputMsg{Name: "s", Datatype: "BYTES", Shape: []int64{1}, Parameters: inRegion(4, 0)})
	f.Add(marshalMessage(f, msg))
	f.Fuzz(func(t *testing.T, body []byte) {
		mem := newMemory()
		for _, asREST := range []bool{true, false} {
			req, head := mem.NewRequest(), kserve.Head{}
			move(&req.Body, bodyOf(mem.Slabs, body, 0))
			src := kserve.Source{Model: sharing(), Body: &req.Body, HeaderLen: rest.NoHeader}
			var err *infer.Error
			if asREST {
				err = rest.NewDecoder(mem.Slabs).Decode(src, req, &head)
			} else {
				err = kserve.NewMessageDecoder(mem.Slabs).Decode(src, req, &head)
			}
			if err == nil {
				checkRegionRequest(t, mem, req)
			}
			req.Release()
		}
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	})
}

// checkRegionRequest sends a request that was accepted to a server.
func checkRegionRequest(t *testing.T, mem *infer.Memory, req *infer.Request) {
	t.Helper()
	c := mem.NewCall(req)
	defer c.Release()
	var out slab.List
	defer out.Release()
	if err := kserve.NewRequestEncoder(mem.Slabs).EncodeCall(sharing(), c, "m", "1", &out); err != nil {
		t.Fatal(err)
	}
	got := &pb.ModelInferRequest{}
	if err := proto.Unmarshal(flat(&out), got); err != nil || len(got.GetInputs()) != len(req.Inputs) {
		t.Fatalf("%d inputs became %v, %v", len(req.Inputs), got, err)
	}
	withData := 0
	for i := range req.Inputs {
		in, sent := &req.Inputs[i], got.GetInputs()[i]
		p := sent.GetParameters()
		switch {
		case in.Region == nil && p["shared_memory_region"] != nil, in.Region != nil && string(in.Region.Name) != p["shared_memory_region"].GetStringParam():
			t.Errorf("input %d in %+v became %v", i, in.Region, sent)
		case in.Region == nil && sent.GetContents() == nil:
			withData++
		case in.Region != nil && (in.Data.Size() > 0 || in.Region.Size < 0 || in.Region.Offset < 0 || in.Region.Size+in.Region.Offset < 0):
			t.Errorf("input %d has %d bytes, and lies in %+v", i, in.Data.Size(), in.Region)
		}
	}
	if n := len(got.GetRawInputContents()); n != withData {
		t.Errorf("%d inputs have data, and %d came", withData, n)
	}
}
