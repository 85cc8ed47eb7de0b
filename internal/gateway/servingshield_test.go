package gateway_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// TestShieldsFromServingsREST is [TestShieldsOverHTTP] for TensorFlow Serving's API.
func TestShieldsFromServingsREST(t *testing.T) {
	r := shielded(t)
	deep := strings.Repeat("[", 250_000)
	for _, tc := range []struct {
		name, path string // what follows /v1/models/
		body       string
		status     int
	}{
		{"too many rows", "floats:predict", `{"instances":[[1],[2],[3],[4],[5],[6],[7],[8],[9]]}`, 400},
		{"uneven rows", "floats:predict", `{"instances":[[1,2],[3]]}`, 400},
		{"uneven columns", "floats:predict", `{"inputs":[[1,2],[3]]}`, 400},
		{"another rank", "floats:predict", `{"instances":[1]}`, 400},
		{"another kind", "longs:predict", `{"instances":[["1"]]}`, 400},
		{"a fraction", "longs:predict", `{"instances":[[1.5]]}`, 400},
		{"beyond 64 bits", "longs:predict", `{"instances":[[9223372036854775808]]}`, 400},
		{"float out of range", "floats:predict", `{"instances":[[1e39]]}`, 400},
		{"bool of 2", "bools:predict", `{"instances":[[2]]}`, 400},
		{"null", "floats:predict", `{"instances":[[null]]}`, 400},
		{"no base 64", "strings:predict", `{"instances":[[{"b64":"%"}]]}`, 400},
		{"base 64 and more", "strings:predict", `{"instances":[[{"b64":"YQ==","x":1}]]}`, 400},
		{"no rows", "floats:predict", `{"instances":[]}`, 400},
		{"no input", "floats:predict", `{"instances":[{}]}`, 400},
		{"unknown input", "floats:predict", `{"instances":[{"z":[1]}]}`, 400},
		{"input twice", "floats:predict", `{"instances":[{"x":[1],"x":[1]}]}`, 400},
		{"both forms", "floats:predict", `{"instances":[[1]],"inputs":[[1]]}`, 400},
		{"rows twice", "floats:predict", `{"instances":[[1]],"instances":[[1]]}`, 400},
		{"unknown signature", "floats:predict", `{"signature_name":"s","instances":[[1]]}`, 400},
		{"signature of another kind", "floats:predict", `{"signature_name":1,"instances":[[1]]}`, 400},
		{"deep", "floats:predict", `{"instances":` + deep, 400},
		{"deep in what nobody reads", "floats:predict", `{"more":` + deep, 400},
		{"deep examples", "floats:classify", `{"examples":` + deep, 400},
		{"examples", "floats:regress", `{"examples":[{"x":1.0}]}`, 501},
		{"no JSON", "floats:predict", "\x00\x01", 400},
		{"a model outside of the repository", "..%2f..%2fetc:predict", `{"instances":[[1]]}`, 404},
		{"a version outside of it", "floats/versions/..%2f..%2fetc:predict", `{"instances":[[1]]}`, 404},
		{"a label outside of it", "floats/labels/%00:predict", `{"instances":[[1]]}`, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, text := r.call("http", "POST", "/v1/models/"+tc.path, tc.body)
			if got != tc.status || !strings.HasPrefix(text, `{"error":"`) {
				t.Errorf("answered %d %s, want %d", got, text, tc.status)
			}
		})
	}
}

// TestShieldsFromPredict is [TestShieldsOverGRPC] for TensorFlow Serving's message.
func TestShieldsFromPredict(t *testing.T) {
	r := shielded(t)
	_, conn := r.dial("http")
	client := pb.NewPredictionServiceClient(conn)
	of := func(model string, d pb.DataType, change func(*pb.TensorProto), shape ...int64) *pb.PredictRequest {
		x := &pb.TensorProto{Dtype: d, TensorShape: &pb.TensorShapeProto{}}
		for _, n := range shape {
			x.TensorShape.Dim = append(x.TensorShape.Dim, &pb.TensorShapeProto_Dim{Size: n})
		}
		change(x)
		return &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: model}, Inputs: map[string]*pb.TensorProto{"x": x}}
	}
	longs := func(shape ...int64) *pb.PredictRequest {
		return of("longs", pb.DataType_DT_INT64, func(x *pb.TensorProto) { x.Int64Val = []int64{7} }, shape...)
	}
	floats := func(change func(*pb.TensorProto), shape ...int64) *pb.PredictRequest {
		return of("floats", pb.DataType_DT_FLOAT, change, shape...)
	}
	one := func(x *pb.TensorProto) { x.FloatVal = []float32{1} }
	for _, tc := range []struct {
		name string
		q    *pb.PredictRequest
		code codes.Code
	}{
		{"elements overflow", longs(16, 1<<60+2), codes.InvalidArgument},
		{"elements overflow to one", longs(1<<32, 1<<32+1), codes.InvalidArgument},
		{"bytes overflow", longs(1, 1<<61+1), codes.InvalidArgument},
		{"more than there is memory", longs(1<<20, 1<<20), codes.ResourceExhausted},
		{"nothing for more than there is memory", of("longs", pb.DataType_DT_INT64, func(*pb.TensorProto) {}, 1<<20, 1<<20), codes.ResourceExhausted},
		{"negative dimension", longs(-1, 1), codes.InvalidArgument},
		{"many dimensions", longs(make([]int64, 10_000)...), codes.InvalidArgument},
		{"unknown rank", floats(func(x *pb.TensorProto) { x.TensorShape.UnknownRank = true }), codes.InvalidArgument},
		{"another type", of("floats", pb.DataType_DT_DOUBLE, func(x *pb.TensorProto) { x.DoubleVal = []float64{1} }, 1, 1), codes.InvalidArgument},
		{"a type with no like", of("floats", pb.DataType_DT_QINT8, one, 1, 1), codes.InvalidArgument},
		{"an unknown type", of("floats", 99, one, 1, 1), codes.InvalidArgument},
		{"too many rows", floats(one, 9, 1), codes.InvalidArgument},
		{"too many elements", floats(func(x *pb.TensorProto) { x.FloatVal = []float32{1, 2} }, 1, 1), codes.InvalidArgument},
		{"too few bytes", floats(func(x *pb.TensorProto) { x.TensorContent = make([]byte, 7) }, 1, 2), codes.InvalidArgument},
		{"too many bytes", floats(func(x *pb.TensorProto) { x.TensorContent = make([]byte, 9) }, 1, 2), codes.InvalidArgument},
		{"data in both forms", floats(func(x *pb.TensorProto) { x.TensorContent, x.FloatVal = make([]byte, 4), []float32{1} }, 1, 1), codes.InvalidArgument},
		{"two lists", floats(func(x *pb.TensorProto) { x.DoubleVal, x.FloatVal = []float64{1}, []float32{1} }, 1, 1), codes.InvalidArgument},
		{"another list", floats(func(x *pb.TensorProto) { x.IntVal = []int32{1} }, 1, 1), codes.InvalidArgument},
		{"strings as content that do not fit", of("strings", pb.DataType_DT_STRING, func(x *pb.TensorProto) { x.TensorContent = []byte("\xff\xff\xff\xff\x0fabc") }, 1, 1), codes.InvalidArgument},
		{"bool of 2", of("bools", pb.DataType_DT_BOOL, func(x *pb.TensorProto) { x.TensorContent = []byte{2} }, 1, 1), codes.InvalidArgument},
		{"no input", &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "floats"}}, codes.InvalidArgument},
		{"unknown output", func() *pb.PredictRequest {
			q := floats(one, 1, 1)
			q.OutputFilter = []string{"z"}
			return q
		}(), codes.InvalidArgument},
		{"unknown signature", func() *pb.PredictRequest {
			q := floats(one, 1, 1)
			q.ModelSpec.SignatureName = "s"
			return q
		}(), codes.InvalidArgument},
		{"a model outside of the repository", of("../../etc", pb.DataType_DT_FLOAT, one, 1, 1), codes.NotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := client.Predict(soon(t), tc.q); status.Code(err) != tc.code {
				t.Errorf("answered %v, want %s", err, tc.code)
			}
		})
	}
	b, err := proto.Marshal(floats(one, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(b); cut++ {
		err := conn.Invoke(soon(t), pb.PredictionService_Predict_FullMethodName, b[:cut], new([]byte), grpc.ForceCodecV2(rawCodec{}))
		if code := status.Code(err); code != codes.InvalidArgument {
			t.Errorf("%d of %d bytes: answered %v, want %v", cut, len(b), err, codes.InvalidArgument)
		}
	}
	for _, method := range []string{pb.PredictionService_Classify_FullMethodName, pb.PredictionService_MultiInference_FullMethodName} {
		err := conn.Invoke(soon(t), method, []byte{0x12, 0x7f}, new([]byte), grpc.ForceCodecV2(rawCodec{}))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("half a message to %s: %v", method, err)
		}
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string { return "proto" }
