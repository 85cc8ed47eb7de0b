package server_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/infer"
	v2 "github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// soon is a context that bounds a test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// predict is a request of rows of two numbers that nobody else sends.
func predict(spec *pb.ModelSpec, tag float32, rows int) *pb.PredictRequest {
	values := make([]float32, 2*rows)
	for i := range values {
		values[i] = tag + float32(i)
	}
	return &pb.PredictRequest{ModelSpec: spec, Inputs: map[string]*pb.TensorProto{"x": floats(values, int64(rows), 2)}}
}

func floats(values []float32, shape ...int64) *pb.TensorProto {
	p := &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: &pb.TensorShapeProto{}, FloatVal: values}
	for _, n := range shape {
		p.TensorShape.Dim = append(p.TensorShape.Dim, &pb.TensorShapeProto_Dim{Size: n})
	}
	return p
}

func modelSpec(name, signature string) *pb.ModelSpec {
	return &pb.ModelSpec{Name: name, SignatureName: signature}
}

func versionSpec(name string, version int64) *pb.ModelSpec {
	return &pb.ModelSpec{Name: name, VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(version)}}
}

func labelSpec(name, label string) *pb.ModelSpec {
	return &pb.ModelSpec{Name: name, VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: label}}
}

// input is examples without features.
func input(n int) *pb.Input {
	list := &pb.ExampleList{}
	for range n {
		list.Examples = append(list.Examples, &pb.Example{Features: &pb.Features{}})
	}
	return &pb.Input{Kind: &pb.Input_ExampleList{ExampleList: list}}
}

func TestPredictOverGRPC(t *testing.T) {
	s := newStreaming(t, servingPuppet())
	conn := s.connect(t)
	client, other := pb.NewPredictionServiceClient(conn), v2.NewGRPCInferenceServiceClient(conn)
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
		for i, spec := range []*pb.ModelSpec{modelSpec("echo", ""), versionSpec("echo", 1), labelSpec("echo", "stable"), modelSpec("echo", "serving_default")} {
			var head metadata.MD
			q := predict(spec, float32(100*i), 3)
			a, err := client.Predict(soon(t), q, append(opts, grpc.Header(&head))...)
			if err != nil {
				t.Fatalf("%v: %v", spec, err)
			}
			want := &pb.PredictResponse{
				ModelSpec: versionSpec("echo", 1), Outputs: map[string]*pb.TensorProto{"y": q.Inputs["x"]},
			}
			want.ModelSpec.SignatureName = "serving_default"
			if !proto.Equal(a, want) || len(head.Get("x-request-id")) != 1 || len(head.Get("server-timing")) != 1 || !slices.Equal(head.Get("sluice-version"), []string{"1"}) {
				t.Errorf("%v, head %v; want %v", a, head, want)
			}
			// Streams are used again, for the other protocol too.
			if a, err := other.ModelInfer(soon(t), ask("echo", "me", 1, 1)); err != nil || a.GetId() != "me" {
				t.Fatalf("%v, %v", a, err)
			}
		}
	}
	large := predict(modelSpec("echo", ""), 1, 8)
	many := make([]int32, 30_000)
	large.Inputs["x"] = &pb.TensorProto{Dtype: pb.DataType_DT_INT32, TensorShape: &pb.TensorShapeProto{}, IntVal: many}
	if _, err := client.Predict(soon(t), large); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another type, which takes time: %v", err)
	}
	a, err := client.Predict(soon(t), &pb.PredictRequest{ModelSpec: modelSpec("signed", ""), Inputs: map[string]*pb.TensorProto{"x": floats([]float32{4}, 3)}})
	if err != nil || !slices.Equal(a.GetOutputs()["y"].GetFloatVal(), []float32{8, 8, 8}) {
		t.Errorf("a short list: %v, %v", a, err)
	}
}

func TestServingRefusalsOverGRPC(t *testing.T) {
	s := newStreaming(t, servingPuppet())
	conn := s.connect(t)
	client, models := pb.NewPredictionServiceClient(conn), pb.NewModelServiceClient(conn)
	asked := func(spec *pb.ModelSpec, change func(*pb.PredictRequest)) func(context.Context) error {
		return func(ctx context.Context) error {
			q := predict(spec, 1, 1)
			change(q)
			_, err := client.Predict(ctx, q)
			return err
		}
	}
	same := func(*pb.PredictRequest) {}
	for _, tc := range []struct {
		name   string
		do     func(context.Context) error
		code   codes.Code
		reason string
		says   string
	}{
		{"no model", asked(nil, same), codes.InvalidArgument, "INVALID", "names no model"},
		{"classify without a model", func(ctx context.Context) error {
			_, err := client.Classify(ctx, &pb.ClassificationRequest{Input: input(1)})
			return err
		}, codes.InvalidArgument, "INVALID", "names no model"},
		{"metadata without a model", func(ctx context.Context) error {
			_, err := client.GetModelMetadata(ctx, &pb.GetModelMetadataRequest{MetadataField: []string{"signature_def"}})
			return err
		}, codes.InvalidArgument, "INVALID", "names no model"},
		{"status without a model", func(ctx context.Context) error {
			_, err := models.GetModelStatus(ctx, &pb.GetModelStatusRequest{ModelSpec: &pb.ModelSpec{}})
			return err
		}, codes.InvalidArgument, "INVALID", "names no model"},
		{"unknown model", asked(modelSpec("nope", ""), same), codes.NotFound, "UNKNOWN_MODEL", `there is "echo", "signed"`},
		{"unknown version", asked(versionSpec("echo", 9), same), codes.NotFound, "UNKNOWN_VERSION", `has no version "9"`},
		{"unknown label", asked(labelSpec("echo", "none"), same), codes.NotFound, "UNKNOWN_VERSION", `has no label "none"`},
		{"unknown signature", asked(modelSpec("echo", "x"), same), codes.InvalidArgument, "INVALID", "'x' not found in model 'echo', which has 'serving_default'"},
		{"unknown input", asked(modelSpec("echo", ""), func(q *pb.PredictRequest) { q.Inputs["z"] = q.Inputs["x"] }), codes.InvalidArgument, "INVALID", "more inputs than the 1 of model 'echo'"},
		{"another type", asked(modelSpec("echo", ""), func(q *pb.PredictRequest) { q.Inputs["x"].Dtype = pb.DataType_DT_INT64 }), codes.InvalidArgument, "INVALID", "'x'"},
		{"short data", asked(modelSpec("echo", ""), func(q *pb.PredictRequest) {
			q.Inputs["x"].FloatVal, q.Inputs["x"].TensorContent = nil, make([]byte, 7)
		}), codes.InvalidArgument, "INVALID", "'x'"},
		{"too large", asked(modelSpec("echo", ""), func(q *pb.PredictRequest) { q.Inputs["x"] = floats(make([]float32, 1<<19), 8, 1<<16) }), codes.ResourceExhausted, "TOO_LARGE", "1048576 bytes"},
		{"classify without signatures", func(ctx context.Context) error {
			_, err := client.Classify(ctx, &pb.ClassificationRequest{ModelSpec: modelSpec("echo", ""), Input: input(1)})
			return err
		}, codes.Unimplemented, "UNSUPPORTED", "'echo' has no signatures that take examples"},
		{"classify with another signature", func(ctx context.Context) error {
			_, err := client.Classify(ctx, &pb.ClassificationRequest{ModelSpec: modelSpec("signed", ""), Input: input(1)})
			return err
		}, codes.InvalidArgument, "INVALID", "'serving_default' of model 'signed' does not take examples"},
		{"no examples", func(ctx context.Context) error {
			_, err := client.Regress(ctx, &pb.RegressionRequest{ModelSpec: modelSpec("signed", "regress")})
			return err
		}, codes.InvalidArgument, "INVALID", "'signed' has no examples"},
		{"too many examples", func(ctx context.Context) error {
			_, err := client.Regress(ctx, &pb.RegressionRequest{ModelSpec: modelSpec("signed", "regress"), Input: input(9)})
			return err
		}, codes.InvalidArgument, "INVALID", "signed"},
		{"one task of several", func(ctx context.Context) error {
			_, err := client.MultiInference(ctx, &pb.MultiInferenceRequest{Input: input(1), Tasks: []*pb.InferenceTask{
				{ModelSpec: modelSpec("signed", "classify"), MethodName: "tensorflow/serving/classify"},
				{ModelSpec: modelSpec("signed", "nope"), MethodName: "tensorflow/serving/regress"},
			}})
			return err
		}, codes.InvalidArgument, "INVALID", "'nope' not found"},
		{"no tasks", func(ctx context.Context) error {
			_, err := client.MultiInference(ctx, &pb.MultiInferenceRequest{Input: input(1)})
			return err
		}, codes.InvalidArgument, "INVALID", "no tasks"},
		{"metadata field", func(ctx context.Context) error {
			_, err := client.GetModelMetadata(ctx, &pb.GetModelMetadataRequest{ModelSpec: modelSpec("echo", ""), MetadataField: []string{"x"}})
			return err
		}, codes.InvalidArgument, "INVALID", "signature_def"},
		{"metadata of no model", func(ctx context.Context) error {
			_, err := client.GetModelMetadata(ctx, &pb.GetModelMetadataRequest{ModelSpec: modelSpec("nope", ""), MetadataField: []string{"signature_def"}})
			return err
		}, codes.NotFound, "UNKNOWN_MODEL", "nope"},
		{"status of no version", func(ctx context.Context) error {
			_, err := models.GetModelStatus(ctx, &pb.GetModelStatusRequest{ModelSpec: versionSpec("echo", 3)})
			return err
		}, codes.NotFound, "UNKNOWN_VERSION", `"3"`},
		{"reload", func(ctx context.Context) error {
			_, err := models.HandleReloadConfigRequest(ctx, &pb.ReloadConfigRequest{})
			return err
		}, codes.Unimplemented, "UNSUPPORTED", "configuration"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.do(soon(t))
			got := status.Convert(err)
			reason := ""
			for _, d := range got.Details() {
				if info, ok := d.(*errdetails.ErrorInfo); ok {
					reason = info.GetReason()
				}
			}
			if got.Code() != tc.code || reason != tc.reason || !strings.Contains(got.Message(), tc.says) {
				t.Errorf("%v %s %q, want %v %s saying %q", got.Code(), reason, got.Message(), tc.code, tc.reason, tc.says)
			}
		})
	}
	for _, m := range []string{"echo", "signed"} {
		for _, v := range []string{"1", "7"} {
			if n := s.metric.InFlight(m, v); n != 0 {
				t.Errorf("%d in flight of %s", n, m)
			}
		}
	}
}

func TestExamplesOverGRPC(t *testing.T) {
	s := newStreaming(t, servingPuppet())
	client := pb.NewPredictionServiceClient(s.connect(t))
	check := func(name string, got proto.Message, err error, text string) {
		t.Helper()
		want := got.ProtoReflect().New().Interface()
		if fault := prototext.Unmarshal([]byte(text), want); fault != nil {
			t.Fatal(fault)
		}
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	const classified = `{classifications {classes {label: "size" score: 2}} classifications {classes {label: "size" score: 2}}}`
	const regressed = `{regressions {value: 2} regressions {value: 2}}`
	spec := func(signature string) string {
		return `model_spec {name: "signed" version {value: 7} signature_name: "` + signature + `"} `
	}
	var head metadata.MD
	c, err := client.Classify(soon(t), &pb.ClassificationRequest{ModelSpec: modelSpec("signed", "classify"), Input: input(2)}, grpc.Header(&head))
	check("classify", c, err, spec("classify")+"result "+classified)
	if len(head.Get("x-request-id")) != 1 || !slices.Equal(head.Get("sluice-version"), []string{"7"}) {
		t.Errorf("head %v", head)
	}
	r, err := client.Regress(soon(t), &pb.RegressionRequest{ModelSpec: labelSpec("signed", "stable"), Input: input(2)})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("the default signature regresses: %v, %v", r, err)
	}
	r, err = client.Regress(soon(t), &pb.RegressionRequest{ModelSpec: modelSpec("signed", "regress"), Input: input(2)}, grpc.UseCompressor(gzip.Name))
	check("regress", r, err, spec("regress")+"result "+regressed)
	m, err := client.MultiInference(soon(t), &pb.MultiInferenceRequest{Input: input(2), Tasks: []*pb.InferenceTask{
		{ModelSpec: modelSpec("signed", "regress"), MethodName: "tensorflow/serving/regress"},
		{ModelSpec: modelSpec("signed", "classify"), MethodName: "tensorflow/serving/classify"},
	}})
	check("multi", m, err, "results {"+spec("regress")+"regression_result "+regressed+"} results {"+spec("classify")+"classification_result "+classified+"}")
	if got := s.metric.Outcomes("signed", "7")[infer.OK.Outcome()]; got != 4 {
		t.Errorf("%d counted, want 4: each task of a MultiInference is one", got)
	}
}

func TestQuestionsOverServingsGRPC(t *testing.T) {
	s := newStreaming(t, servingPuppet())
	conn := s.connect(t)
	md, err := pb.NewPredictionServiceClient(conn).GetModelMetadata(soon(t), &pb.GetModelMetadataRequest{ModelSpec: labelSpec("signed", "stable"), MetadataField: []string{"signature_def"}})
	sigs := &pb.SignatureDefMap{}
	if err != nil || md.GetMetadata()["signature_def"].UnmarshalTo(sigs) != nil || md.GetModelSpec().GetVersion().GetValue() != 7 {
		t.Fatalf("%v, %v", md, err)
	}
	if got := sigs.GetSignatureDef()["classify"]; len(sigs.GetSignatureDef()) != 3 || got.GetInputs()["examples"].GetDtype() != pb.DataType_DT_STRING {
		t.Errorf("%v", sigs)
	}
	for _, spec := range []*pb.ModelSpec{modelSpec("echo", ""), versionSpec("echo", 1), labelSpec("echo", "stable")} {
		st, err := pb.NewModelServiceClient(conn).GetModelStatus(soon(t), &pb.GetModelStatusRequest{ModelSpec: spec})
		if err != nil || len(st.GetModelVersionStatus()) != 1 || st.GetModelVersionStatus()[0].GetState() != pb.ModelVersionStatus_AVAILABLE {
			t.Errorf("%v: %v, %v", spec, st, err)
		}
	}
}

// TestServingCallsEndWithTheirClient holds that what a client cancels, or its deadline does, reaches calls that wait.
func TestServingCallsEndWithTheirClient(t *testing.T) {
	opts := servingPuppet()
	opts.Hold = true
	s := newStreaming(t, opts)
	client := pb.NewPredictionServiceClient(s.connect(t))
	for _, tc := range []struct {
		name, model, version string
		calls                int64
		do                   func(context.Context) error
	}{
		{"predict", "echo", "1", 1, func(ctx context.Context) error {
			_, err := client.Predict(ctx, predict(modelSpec("echo", ""), 1, 1))
			return err
		}},
		{"multi", "signed", "7", 2, func(ctx context.Context) error {
			_, err := client.MultiInference(ctx, &pb.MultiInferenceRequest{Input: input(1), Tasks: []*pb.InferenceTask{
				{ModelSpec: modelSpec("signed", "regress"), MethodName: "tensorflow/serving/regress"},
				{ModelSpec: modelSpec("signed", "classify"), MethodName: "tensorflow/serving/classify"},
			}})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := s.metric.Outcomes(tc.model, tc.version)
			ctx, cancel := context.WithCancel(soon(t))
			done := make(chan error, 1)
			go func() { done <- tc.do(ctx) }()
			until(t, "the calls come and go", func() bool { return s.metric.InFlight(tc.model, tc.version) == tc.calls })
			cancel()
			if err := <-done; status.Code(err) != codes.Canceled {
				t.Errorf("cancelled: %v", err)
			}
			until(t, "the calls come and go", func() bool { return s.metric.InFlight(tc.model, tc.version) == 0 })
			got := s.metric.Outcomes(tc.model, tc.version)
			if n := got[infer.Cancelled.Outcome()] - before[infer.Cancelled.Outcome()]; n != tc.calls {
				t.Errorf("%d counted as cancelled, want %d", n, tc.calls)
			}
			ctx, cancel = context.WithTimeout(soon(t), 50*time.Millisecond)
			defer cancel()
			if err := tc.do(ctx); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("expired: %v", err)
			}
			until(t, "the calls come and go", func() bool { return s.metric.InFlight(tc.model, tc.version) == 0 })
			for s.puppet.Step() {
			}
		})
	}
}

// TestProtocolsGiveTheSame holds that a request gives the same tensor whichever protocol it came over.
func TestProtocolsGiveTheSame(t *testing.T) {
	s := newStreaming(t, servingPuppet())
	conn := s.connect(t)
	for rows := 1; rows <= 8; rows++ {
		tag := float32(rows) * 1.1
		a, err := v2.NewGRPCInferenceServiceClient(conn).ModelInfer(soon(t), ask("echo", "", tag, rows))
		if err != nil {
			t.Fatal(err)
		}
		b, err := pb.NewPredictionServiceClient(conn).Predict(soon(t), predict(modelSpec("echo", ""), tag, rows))
		if err != nil {
			t.Fatal(err)
		}
		var raw []byte
		for _, f := range b.GetOutputs()["y"].GetFloatVal() {
			raw = append(raw, byte(math.Float32bits(f)), byte(math.Float32bits(f)>>8), byte(math.Float32bits(f)>>16), byte(math.Float32bits(f)>>24))
		}
		if string(raw) != string(a.GetRawOutputContents()[0]) {
			t.Errorf("%d rows: %x and %x", rows, raw, a.GetRawOutputContents()[0])
		}
	}
}
