package gateway_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// shielded is a gateway before a server that counts what reaches it: nothing may but the one good request at the end.
func shielded(t *testing.T) *running {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{
		puppet.Raw("floats", tensor.FP32, 8), puppet.Raw("longs", tensor.Int64, 0), puppet.Raw("strings", tensor.Bytes, 0), puppet.Raw("bools", tensor.Bool, 0),
	}})
	r := start(t, tritonPool(server))
	t.Cleanup(func() {
		if n := server.Stats().Calls; n != 0 {
			t.Errorf("%d requests reached the server", n)
		}
		if status, body := r.infer("floats"); status != 200 || server.Stats().Calls != 1 {
			t.Errorf("a good request afterwards: %d %s, %d reached the server", status, body, server.Stats().Calls)
		}
	})
	return r
}

// input is a request whose only input has the given members behind its name.
func input(members string) string { return `{"inputs":[{"name":"x",` + members + `}]}` }

// withBytes is a request whose binary data is that many bytes, or says so.
func withBytes(dtype, shape string, says int64) string {
	return input(fmt.Sprintf(`"datatype":%q,"shape":%s,"parameters":{"binary_data_size":%d}`, dtype, shape, says))
}

// TestShieldsOverHTTP sends what has crashed Triton servers, and what comes close to it.
func TestShieldsOverHTTP(t *testing.T) {
	r := shielded(t)
	const good = `"datatype":"FP32","shape":[1,2],"data":[1,2]`
	deep := strings.Repeat("[", 250_000)
	for _, tc := range []struct {
		name, path string // of the path what follows /v2; floats/infer if empty
		body, data string // JSON, and the bytes behind it
		header     string // the length of the JSON, if it is not the true one
		status     int
	}{
		{name: "elements overflow", path: "longs", body: input(`"datatype":"INT64","shape":[16,1152921504606846978],"data":[1]`), status: 400},
		{name: "elements overflow, binary", path: "longs", body: withBytes("INT64", "[4294967296,4294967297]", 8), data: "12345678", status: 400},
		{name: "bytes overflow", path: "longs", body: withBytes("INT64", "[1,2305843009213693953]", 8), data: "12345678", status: 400},
		{name: "more than there is memory", path: "longs", body: input(`"datatype":"INT64","shape":[1048576,1048576],"data":[1]`), status: 400},
		{name: "negative dimension", body: input(`"datatype":"FP32","shape":[-1,2],"data":[1,2]`), status: 400},
		{name: "dimension of 64 bits", body: input(`"datatype":"FP32","shape":[18446744073709551615,2],"data":[1,2]`), status: 400},
		{name: "many dimensions", body: input(`"datatype":"FP32","shape":[1` + strings.Repeat(",1", 10_000) + `],"data":[1]`), status: 400},
		{name: "too many rows", body: input(`"datatype":"FP32","shape":[9,1],"data":[1,2,3,4,5,6,7,8,9]`), status: 400},
		{name: "too few elements", body: input(`"datatype":"FP32","shape":[2,2],"data":[1]`), status: 400},
		{name: "another datatype", body: input(`"datatype":"INT64","shape":[1,1],"data":[1]`), status: 400},
		{name: "input twice", body: `{"inputs":[{"name":"x",` + good + `},{"name":"x",` + good + `}]}`, status: 400},
		{name: "no input", body: `{"inputs":[]}`, status: 400},
		{name: "unknown output", body: `{"outputs":[{"name":"z"}],` + input(good)[1:], status: 400},
		{name: "output twice", body: `{"outputs":[{"name":"y"},{"name":"y"}],` + input(good)[1:], status: 400},
		{name: "size beyond the body", body: withBytes("FP32", "[1,2]", 1<<40), data: "12345678", status: 400},
		{name: "negative size", body: withBytes("FP32", "[1,2]", -8), data: "12345678", status: 400},
		{name: "more bytes than the inputs take", body: withBytes("FP32", "[1,2]", 8), data: "123456789", status: 400},
		{name: "header length beyond the body", body: withBytes("FP32", "[1,2]", 8), data: "12345678", header: "99999999999", status: 400},
		{name: "header length of 80 bits", body: withBytes("FP32", "[1,2]", 8), data: "12345678", header: "999999999999999999999999", status: 400},
		{name: "negative header length", body: withBytes("FP32", "[1,2]", 8), data: "12345678", header: "-1", status: 400},
		{name: "string longer than the data", path: "strings", body: withBytes("BYTES", "[1,1]", 8), data: "\xff\xff\xff\xffabcd", status: 400},
		{name: "string cut short", path: "strings", body: withBytes("BYTES", "[1,1]", 2), data: "\x01\x00", status: 400},
		{name: "fewer strings than the shape", path: "strings", body: withBytes("BYTES", "[1,2]", 5), data: "\x01\x00\x00\x00a", status: 400},
		{name: "classes of strings", path: "strings", body: `{"outputs":[{"name":"y","parameters":{"classification":1}}],` + input(`"datatype":"BYTES","shape":[1,1],"data":["a"]`)[1:], status: 400},
		{name: "bool of 2", path: "bools", body: withBytes("BOOL", "[1,1]", 1), data: "\x02", status: 400},
		{name: "reserved parameter", body: `{"parameters":{"triton_x":1},` + input(good)[1:], status: 400},
		{name: "headers as a parameter", body: `{"parameters":{"headers":"x"},` + input(good)[1:], status: 400},
		{name: "long sequence id", body: `{"parameters":{"sequence_id":"` + strings.Repeat("x", 129) + `"},` + input(good)[1:], status: 400},
		{name: "deep data", body: input(`"datatype":"FP32","shape":[1,2],"data":` + deep), status: 400},
		{name: "deep JSON", body: `{"x":` + deep, status: 400},
		{name: "a region of shared memory", body: input(`"datatype":"FP32","shape":[1,2],"parameters":{"shared_memory_region":"triton_python_backend_shm_region_1","shared_memory_byte_size":8}`), status: 501},
		{name: "an output to shared memory", body: `{"outputs":[{"name":"y","parameters":{"shared_memory_region":"r","shared_memory_byte_size":8}}],` + input(good)[1:], status: 501},
		{name: "registering shared memory", path: "/systemsharedmemory/region/r/register", body: `{"key":"/../../etc/passwd","offset":18446744073709551615,"byte_size":18446744073709551615}`, status: 501},
		{name: "a model outside of the repository", path: "/models/..%2f..%2fetc/infer", body: input(good), status: 404},
		{name: "loading a model from elsewhere", path: "/repository/models/..%2f..%2fetc/load", body: `{"parameters":{"file:../../x":"AA=="}}`, status: 403},
		{name: "deep JSON for the index", path: "/repository/index", body: `{"ready":` + deep, status: 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tc.path
			if !strings.HasPrefix(path, "/") {
				if path == "" {
					path = "floats"
				}
				path = "/models/" + path + "/infer"
			}
			req, err := http.NewRequest("POST", "http://"+r.g.Addresses()["http"]+"/v2"+path, strings.NewReader(tc.body+tc.data))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tc.header != "":
				req.Header.Set("Inference-Header-Content-Length", tc.header)
			case tc.data != "":
				req.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(tc.body)))
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(text), `"error":"`) {
				t.Errorf("answered %d %s, %v; want %d", resp.StatusCode, text, err, tc.status)
			}
		})
	}
}

// TestShieldsFromManyChunks sends a body in more chunks than a server has a stack for.
func TestShieldsFromManyChunks(t *testing.T) {
	r := shielded(t)
	conn, err := net.DialTimeout("tcp", r.g.Addresses()["http"], 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := "POST /v2/models/floats/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(conn, head+strings.Repeat("1\r\n \r\n", 100_000)+"0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("answered %d, want 400", resp.StatusCode)
	}
}

// TestShieldsOverGRPC is TestShieldsOverHTTP for the other encoding.
func TestShieldsOverGRPC(t *testing.T) {
	r := shielded(t)
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	type request = pb.ModelInferRequest
	long := binary.LittleEndian.AppendUint64(nil, 7)
	number := &pb.InferParameter{ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}
	text := func(s string) *pb.InferParameter {
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_StringParam{StringParam: s}}
	}
	of := func(model, dtype string, raw []byte, shape ...int64) *request {
		return &request{
			ModelName: model, Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: dtype, Shape: shape}},
			RawInputContents: [][]byte{raw},
		}
	}
	longs := func(shape ...int64) *request { return of("longs", "INT64", long, shape...) }
	with := func(change func(q *request)) *request {
		q := longs(1, 1)
		change(q)
		return q
	}
	for _, tc := range []struct {
		name string
		q    *request
		code codes.Code
	}{
		{"elements overflow", longs(16, 1<<60+2), codes.InvalidArgument},
		{"elements overflow to one", longs(1<<32, 1<<32+1), codes.InvalidArgument},
		{"bytes overflow", longs(1, 1<<61+1), codes.InvalidArgument},
		{"more than there is memory", longs(1<<20, 1<<20), codes.InvalidArgument},
		{"negative dimension", longs(-1, 1), codes.InvalidArgument},
		{"least dimension", longs(math.MinInt64, 1), codes.InvalidArgument},
		{"many dimensions", longs(make([]int64, 10_000)...), codes.InvalidArgument},
		{"another datatype", of("longs", "FP64", long, 1, 1), codes.InvalidArgument},
		{"unknown datatype", of("longs", "INT65", long, 1, 1), codes.InvalidArgument},
		{"too many rows", of("floats", "FP32", make([]byte, 36), 9, 1), codes.InvalidArgument},
		{"too few bytes", longs(1, 2), codes.InvalidArgument},
		{"string longer than the data", of("strings", "BYTES", []byte("\xff\xff\xff\xffabcd"), 1, 1), codes.InvalidArgument},
		{"fewer strings than the shape", of("strings", "BYTES", []byte("\x01\x00\x00\x00a"), 1, 2), codes.InvalidArgument},
		{"bool of 2", of("bools", "BOOL", []byte{2}, 1, 1), codes.InvalidArgument},
		{"no data", with(func(q *request) { q.RawInputContents = nil }), codes.InvalidArgument},
		{"more data than inputs", with(func(q *request) { q.RawInputContents = append(q.RawInputContents, long) }), codes.InvalidArgument},
		{"data in both forms", with(func(q *request) { q.Inputs[0].Contents = &pb.InferTensorContents{Int64Contents: []int64{7}} }), codes.InvalidArgument},
		{"contents of another type", with(func(q *request) {
			q.RawInputContents, q.Inputs[0].Contents = nil, &pb.InferTensorContents{Fp32Contents: []float32{7}}
		}), codes.InvalidArgument},
		{"input twice", with(func(q *request) {
			q.Inputs, q.RawInputContents = append(q.Inputs, q.Inputs[0]), append(q.RawInputContents, long)
		}), codes.InvalidArgument},
		{"no input", with(func(q *request) { q.Inputs, q.RawInputContents = nil, nil }), codes.InvalidArgument},
		{"classes of strings", func() *request {
			q := of("strings", "BYTES", []byte("\x01\x00\x00\x00a"), 1, 1)
			q.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y", Parameters: map[string]*pb.InferParameter{"classification": number}}}
			return q
		}(), codes.InvalidArgument},
		{"unknown output", with(func(q *request) {
			q.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "z"}}
		}), codes.InvalidArgument},
		{"reserved parameter", with(func(q *request) { q.Parameters = map[string]*pb.InferParameter{"triton_x": number} }), codes.InvalidArgument},
		{"parameter without a value", with(func(q *request) { q.Parameters = map[string]*pb.InferParameter{"p": {}} }), codes.InvalidArgument},
		{"long sequence id", with(func(q *request) {
			q.Parameters = map[string]*pb.InferParameter{"sequence_id": text(strings.Repeat("x", 129))}
		}), codes.InvalidArgument},
		{"a region of shared memory", with(func(q *request) {
			q.Inputs[0].Parameters = map[string]*pb.InferParameter{"shared_memory_region": text("triton_python_backend_shm_region_1")}
		}), codes.Unimplemented},
		{"a model outside of the repository", of("../../etc", "INT64", long, 1, 1), codes.NotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := client.ModelInfer(ctx, tc.q); status.Code(err) != tc.code {
				t.Errorf("answered %v, want %s", err, tc.code)
			}
		})
	}
}
